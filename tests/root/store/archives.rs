//! Archives: what lighter saves is read by skopeo, podman and docker, and what they save by lighter,
//! with the same digests.

use std::fs::File;
use std::path::{Path, PathBuf};

use support::{Background, Host, Need, Output, skipped};

use super::{BUSYBOX, is_sound, text};
use crate::host;

const REDIS: &str = "localhost:5000/redis:latest";

/// A host with two images, and the id of the first.
fn with_images(programs: &[&'static str]) -> Option<(Host, String)> {
    let needs: Vec<Need> = programs.iter().map(|name| Need::Program(name)).collect();
    let host = host().filter(|_| !skipped(&needs))?;
    host.fixtures();
    host.lighter(["pull", "-q", BUSYBOX]).success();
    host.lighter(["pull", "-q", REDIS]).success();
    let id = id_of(&host, BUSYBOX);
    Some((host, id))
}

#[track_caller]
fn id_of(host: &Host, image: &str) -> String {
    let id = host.lighter(["image", "inspect", "--format", "{{.Id}}", image]);
    id.success().text().to_owned()
}

#[track_caller]
fn save(host: &Host, format: &str) -> PathBuf {
    let path = host.directory().join(format);
    host.lighter([
        "save",
        "--format",
        format,
        "-o",
        text(&path),
        BUSYBOX,
        REDIS,
    ])
    .success();
    path
}

/// Runs `lighter load` with a file as its standard input.
#[track_caller]
fn load_from_stdin(host: &Host, path: &Path) -> Output {
    let mut load = host.lighter_command(["load"]);
    load.stdin(File::open(path).expect("it was just written"));
    Output::with_input_set(load).success()
}

/// Removes both images, so that what is loaded next is all there is.
fn forget(host: &Host) {
    host.lighter(["rmi", "-f", BUSYBOX, REDIS]).success();
    assert_eq!(host.lighter(["images", "-aq"]).success().stdout, "");
}

#[test]
fn skopeo_reads_both_kinds_and_we_read_all_of_its() {
    let Some((host, id)) = with_images(&["skopeo"]) else {
        return;
    };
    let (docker, oci) = (save(&host, "docker-archive"), save(&host, "oci-archive"));
    let config = |source: String| {
        let raw = host
            .shell(&format!("skopeo inspect --raw --config '{source}'"))
            .success();
        image::Digest::of(raw.stdout.as_bytes()).to_string()
    };
    assert_eq!(
        config(format!("docker-archive:{}:{BUSYBOX}", text(&docker))),
        id
    );
    assert_eq!(config(format!("oci-archive:{}:{BUSYBOX}", text(&oci))), id);
    forget(&host);
    let directory = host.directory().join("copies");
    host.shell(&format!(
        "mkdir {0}; cd {0}
         skopeo copy -q oci-archive:{1}:{BUSYBOX} docker-archive:docker:{BUSYBOX}
         skopeo copy -q oci-archive:{1}:{BUSYBOX} oci-archive:oci:{BUSYBOX}
         skopeo copy -q oci-archive:{1}:{BUSYBOX} oci:layout:{BUSYBOX}
         skopeo copy -q --dest-compress-format zstd oci-archive:{1}:{BUSYBOX} oci:zstd:{BUSYBOX}
         gzip -k docker; zstd -q oci",
        text(&directory),
        text(&oci)
    ))
    .success();
    for name in ["docker", "oci", "layout", "zstd", "docker.gz", "oci.zst"] {
        let path = directory.join(name);
        let loaded = host.lighter(["load", "-i", text(&path)]).success();
        assert_eq!(loaded.text(), format!("Loaded image: {BUSYBOX}"), "{name}");
        assert_eq!(id_of(&host, BUSYBOX), id, "{name}");
        is_sound(&host);
        host.lighter(["rmi", "-f", BUSYBOX]).success();
    }
}

#[test]
fn several_images_go_through_pipes_and_come_back() {
    let Some((host, id)) = with_images(&[]) else {
        return;
    };
    let redis = id_of(&host, REDIS);
    let path = host.directory().join("piped");
    let mut save = host.lighter_command(["save", BUSYBOX, REDIS]);
    save.stdout(File::create(&path).expect("the host's directory can be written"));
    let status = save.status().expect("lighter can be started");
    assert!(status.success());
    let again = host.directory().join("again");
    host.lighter(["save", "-o", text(&again), BUSYBOX, REDIS])
        .success();
    assert!(
        std::fs::read(&path).ok() == std::fs::read(&again).ok(),
        "same images, other bytes"
    );
    forget(&host);
    let loaded = load_from_stdin(&host, &path);
    assert_eq!(loaded.lines().len(), 2, "{loaded:?}");
    assert_eq!((id_of(&host, BUSYBOX), id_of(&host, REDIS)), (id, redis));
    is_sound(&host);
}

#[test]
fn podman_reads_what_we_save_and_we_read_its() {
    let Some((host, id)) = with_images(&["podman"]) else {
        return;
    };
    let archive = save(&host, "docker-archive");
    // From the host's directory: podman takes no run root of more than 50 characters.
    let podman = "podman --root podman/root --runroot podman/run --storage-driver vfs";
    let loaded = host
        .shell(&format!("{podman} load -q -i {}", text(&archive)))
        .success();
    assert!(loaded.stdout.contains(BUSYBOX), "{loaded:?}");
    let theirs = host.shell(&format!(
        "{podman} images --no-trunc --format '{{{{.Id}}}}' {BUSYBOX}"
    ));
    assert_eq!(format!("sha256:{}", theirs.success().text()), id);
    forget(&host);
    for format in ["docker-archive", "oci-archive"] {
        let path = host.directory().join("podman").join(format);
        host.shell(&format!(
            "{podman} save -q --format {format} -o {} {BUSYBOX}",
            text(&path)
        ))
        .success();
        load_from_stdin(&host, &path);
        assert_eq!(id_of(&host, BUSYBOX), id, "{format}");
        host.lighter(["rmi", "-f", BUSYBOX]).success();
    }
    host.shell(&format!("{podman} rmi -af")).success();
}

#[test]
fn docker_reads_what_we_save_and_we_read_its() {
    let Some((host, id)) = with_images(&["dockerd", "docker"]) else {
        return;
    };
    let archive = save(&host, "docker-archive");
    let base = host.directory().join("docker");
    std::fs::create_dir(&base).expect("the host's directory can be written");
    let mut daemon = host.command("dockerd");
    daemon.args([
        "--bridge",
        "none",
        "--iptables=false",
        "--storage-driver",
        "vfs",
    ]);
    for (option, name) in [
        ("--data-root", "root"),
        ("--exec-root", "exec"),
        ("-p", "pid"),
    ] {
        daemon.arg(option).arg(base.join(name));
    }
    daemon
        .arg("-H")
        .arg(format!("unix://{}/socket", text(&base)));
    let mut daemon = Background::start_silent(daemon);
    let docker = format!("docker -H unix://{}/socket", text(&base));
    support::eventually("dockerd answers", 30, || {
        (host.shell(&format!("{docker} version")).code == 0).then_some(())
    });
    host.shell(&format!("{docker} load -q -i {}", text(&archive)))
        .success();
    let theirs = host.shell(&format!("{docker} images --no-trunc -q {BUSYBOX}"));
    assert_eq!(theirs.success().text(), id);
    forget(&host);
    let path = base.join("saved");
    host.shell(&format!(
        "{docker} save -o {} {BUSYBOX} {REDIS}",
        text(&path)
    ))
    .success();
    load_from_stdin(&host, &path);
    assert_eq!(id_of(&host, BUSYBOX), id);
    is_sound(&host);
    // Its own end, so that it ends its containerd too.
    host.shell(&format!("kill {}", daemon.pid())).success();
    daemon.child().wait().expect("it was started");
}

#[test]
fn a_plain_tree_becomes_an_image_from_a_file_a_pipe_and_the_web() {
    let Some(host) = host() else { return };
    host.shell("mkdir -p tree/bin && printf hello >tree/file && tar -C tree -czf tree.tar.gz .")
        .success();
    let path = host.directory().join("tree.tar.gz");
    host.lighter(["import", "-c", "ENV A=b", text(&path), "one"])
        .success();
    let mut piped = host.lighter_command(["import", "-", "two"]);
    piped.stdin(File::open(&path).expect("it was just written"));
    Output::with_input_set(piped).success();
    // busybox's httpd would need an image: docker's registry is no web server, so python's or none.
    if skipped(&[Need::Program("python3")]) {
        return;
    }
    let mut server = host.command("python3");
    server.args(["-m", "http.server", "8081"]);
    let _server = Background::start_silent(server);
    let url = "http://localhost:8081/tree.tar.gz";
    support::eventually("the web server answers", 20, || {
        (host.shell(&format!("curl -sfI {url}")).code == 0).then_some(())
    });
    host.lighter(["import", url, "three"]).success();
    let history = host
        .lighter(["history", "--format", "{{.Comment}}", "three"])
        .success();
    assert_eq!(history.text(), format!("Imported from {url}"));
    let layer = |image: &str| {
        let format = "{{index .RootFS.Layers 0}}";
        host.lighter(["image", "inspect", "--format", format, image])
            .success()
            .text()
            .to_owned()
    };
    assert_eq!(layer("one"), layer("two"));
    assert_eq!(layer("one"), layer("three"));
    let missing = host
        .lighter(["import", "http://localhost:8081/nothing"])
        .exits(1);
    assert!(
        missing.stderr.contains("/nothing is not known"),
        "{missing:?}"
    );
    is_sound(&host);
}
