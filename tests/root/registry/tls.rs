//! Whom to trust, and that nothing is ever sent in clear because trust failed.

use support::http::{Server, answer};
use support::token_server::TokenServer;

use super::{
    ADDRESS, basic_auth, configuration, digest_by_skopeo, image, lighter, pushed_digest,
    with_address,
};
use crate::host;

#[test]
fn an_authority_from_certs_d_is_trusted_and_no_other() {
    let Some(host) = host() else { return };
    with_address(&host);
    let authority = host.authority("own");
    let certificate = host.certificate(&authority, "registry", &[&format!("IP:{ADDRESS}")]);
    host.secure_registry(5443, &certificate, None, "");
    let name = format!("{ADDRESS}:5443/team/app:1");
    image(&host, &[&name]);

    let refused = lighter(&host, &["push", &name]).exits(1);
    assert!(
        refused.stderr.contains("UnknownIssuer"),
        "{}",
        refused.stderr
    );

    let directory = configuration(&host).join(format!("certs.d/{ADDRESS}:5443"));
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::copy(authority.certificate(), directory.join("own.crt")).unwrap();
    let pushed = lighter(&host, &["push", &name]).success();
    let by_skopeo = digest_by_skopeo(&host, &name, &format!("--cert-dir {}", directory.display()));
    assert_eq!(pushed_digest(&pushed), by_skopeo);

    lighter(&host, &["rmi", &name]).success();
    let pulled = lighter(&host, &["pull", &name]).success();
    assert!(pulled.stderr.contains(&by_skopeo), "{}", pulled.stderr);

    std::fs::remove_dir_all(&directory).unwrap();
    lighter(&host, &["pull", &name]).exits(1);
    let given = authority.certificate();
    let given = given.parent().unwrap().to_str().unwrap();
    lighter(&host, &["pull", "--cert-dir", given, &name]).success();
    lighter(&host, &["pull", "--tls-verify=false", &name]).success();
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let Some(host) = host() else { return };
    with_address(&host);
    let authority = host.authority("own");
    let certificate = host.certificate(&authority, "registry", &["DNS:elsewhere.test"]);
    host.secure_registry(5443, &certificate, None, "");
    let directory = authority.certificate();
    let directory = directory.parent().unwrap().to_str().unwrap();
    let name = format!("{ADDRESS}:5443/app");
    let refused = lighter(&host, &["pull", "--cert-dir", directory, &name]).exits(1);
    assert!(
        refused.stderr.contains("not valid for"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_client_certificate_is_shown_to_its_registry() {
    let Some(host) = host() else { return };
    with_address(&host);
    let authority = host.authority("own");
    let certificate = host.certificate(&authority, "registry", &[&format!("IP:{ADDRESS}")]);
    let clients = host.authority("clients");
    let client = host.certificate(&clients, "client", &["DNS:client.test"]);
    host.secure_registry(5443, &certificate, Some(&clients), "");
    let name = format!("{ADDRESS}:5443/app");
    image(&host, &[&name]);
    let directory = configuration(&host).join(format!("certs.d/{ADDRESS}:5443"));
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::copy(authority.certificate(), directory.join("own.crt")).unwrap();
    lighter(&host, &["push", &name]).exits(1);
    std::fs::copy(&client.certificate, directory.join("client.cert")).unwrap();
    std::fs::copy(&client.key, directory.join("client.key")).unwrap();
    lighter(&host, &["push", &name]).success();
    std::fs::remove_file(directory.join("client.key")).unwrap();
    let refused = lighter(&host, &["pull", &name]).exits(1);
    assert!(refused.stderr.contains("client.key"), "{}", refused.stderr);
}

#[test]
fn loopback_may_speak_tls_or_not() {
    let Some(host) = host() else { return };
    let authority = host.authority("own");
    let certificate = host.certificate(&authority, "registry", &["DNS:localhost"]);
    host.secure_registry(5443, &certificate, None, "");
    let plain = host.registry(5000, "");
    let secure = "localhost:5443/app";
    let clear = format!("{plain}/app");
    image(&host, &[secure, &clear]);
    lighter(&host, &["push", &clear]).success();
    // It is asked in clear first, as docker does, and answers that it wants TLS.
    lighter(&host, &["push", secure]).exits(1);
    lighter(&host, &["push", "--tls-verify=false", secure]).success();
    let directory = authority.certificate();
    let directory = directory.parent().unwrap().to_str().unwrap();
    lighter(&host, &["push", "--cert-dir", directory, secure]).success();
}

#[test]
fn a_registry_elsewhere_is_spoken_to_in_clear_only_when_asked() {
    let Some(host) = host() else { return };
    with_address(&host);
    let server = Server::start_in(host.network(), &format!("{ADDRESS}:5000"), |_| {
        answer(404, "{}")
    });
    let name = format!("{ADDRESS}:5000/app");
    lighter(&host, &["pull", &name]).exits(1);
    lighter(
        &host,
        &[
            "login",
            "-u",
            "me",
            "-p",
            "hush",
            &format!("{ADDRESS}:5000"),
        ],
    )
    .exits(1);
    assert!(server.requests().is_empty(), "{:?}", server.requests());
    let asked = lighter(&host, &["pull", "--tls-verify=false", &name]).exits(1);
    assert!(asked.stderr.contains("is not known"), "{}", asked.stderr);
    assert!(!server.requests().is_empty());
}

#[test]
fn who_logged_in_over_tls_pushes_pulls_and_runs() {
    let Some(host) = host() else { return };
    with_address(&host);
    let source = format!("{}/busybox", host.fixtures());
    let authority = host.authority("own");
    let certificate = host.certificate(&authority, "registry", &[&format!("IP:{ADDRESS}")]);
    let section = basic_auth(&host, "me", "secret");
    host.secure_registry(5443, &certificate, None, &section);
    let server = format!("{ADDRESS}:5443");
    let directory = configuration(&host).join(format!("certs.d/{server}"));
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::copy(authority.certificate(), directory.join("own.crt")).unwrap();
    let name = format!("{server}/app");
    lighter(&host, &["pull", "-q", &source]).success();
    lighter(&host, &["tag", &source, &name]).success();
    lighter(&host, &["login", "-u", "me", "-p", "secret", &server]).success();
    lighter(&host, &["push", &name]).success();
    lighter(&host, &["rmi", &source, &name]).success();
    let ran = lighter(
        &host,
        &["run", "--rm", "--network", "none", &name, "echo", "hello"],
    )
    .success();
    assert_eq!(ran.stdout, "hello\n");
}

#[test]
fn a_private_registry_cannot_send_credentials_over_a_public_wire() {
    let Some(host) = host() else { return };
    with_address(&host);
    let authority = host.authority("own");
    let certificate = host.certificate(&authority, "registry", &[&format!("IP:{ADDRESS}")]);
    let tokens = Server::start_in(host.network(), &format!("{ADDRESS}:5001"), |_| {
        answer(500, "")
    });
    let section = TokenServer::section(&authority, &format!("http://{ADDRESS}:5001/token"));
    host.secure_registry(5443, &certificate, None, &section);
    let directory = authority.certificate();
    let directory = directory.parent().unwrap().to_str().unwrap();
    let name = format!("{ADDRESS}:5443/app");
    let refused = lighter(
        &host,
        &["pull", "--cert-dir", directory, "--creds", "me:hush", &name],
    )
    .exits(1);
    assert!(
        refused.stderr.contains("anybody on the way could read"),
        "{}",
        refused.stderr
    );
    assert!(tokens.requests().is_empty());
}
