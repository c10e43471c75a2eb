//! Networks on the real kernel: who reaches whom, by which address, under which name, and what is left.
//!
//! What is asserted is what `ip`, `nft`, sockets in other network namespaces and real resolvers show. The neighbour is
//! another host on the same wire; it routes to the containers' addresses as an attacker on the LAN would.

use std::process::Command;
use std::time::{Duration, Instant};

use support::{Background, Host, Namespace, Need, Output, Snapshot, skipped};

use crate::host;

const BUSYBOX: &str = "localhost:5000/busybox";

/// A web server that answers with its own host name.
const SERVE: &str = "hostname > /tmp/index.html; exec httpd -f -p 80 -h /tmp";

/// A host with the image pulled, so that nothing but networks takes time.
fn ready() -> Option<Host> {
    let host = host()?;
    host.fixtures();
    host.lighter(["pull", "-q", BUSYBOX]).success();
    Some(host)
}

/// Starts a server with `options` (split at spaces) and waits until it answers its own requests.
#[track_caller]
fn serve(host: &Host, name: &str, options: &str) {
    let mut line = vec!["run", "-d", "--name", name, "--hostname", name];
    line.extend(options.split_whitespace());
    line.extend([BUSYBOX, "sh", "-c", SERVE]);
    host.lighter(line).success();
    support::eventually("the server serves", 20, || {
        (inside(host, name, "wget -q -O- http://127.0.0.1/index.html").code == 0).then_some(())
    });
}

fn inside(host: &Host, name: &str, script: &str) -> Output {
    host.lighter(["exec", name, "sh", "-c", script])
}

/// What `curl` gets on the host itself, or how it failed.
fn get(host: &Host, address: &str) -> Result<String, i32> {
    curl(host.command("curl"), address)
}

/// The same from another host.
fn get_from(host: &Host, other: &Namespace, address: &str) -> Result<String, i32> {
    curl(other.command("curl", host.directory()), address)
}

fn curl(mut command: Command, address: &str) -> Result<String, i32> {
    command.args([
        "-sS",
        "--max-time",
        "2",
        &format!("http://{address}/index.html"),
    ]);
    let output = Output::of(command);
    match output.code {
        0 => Ok(output.text().to_owned()),
        code => Err(code),
    }
}

/// curl's codes for "refused" and "no answer in time": what a packet that is dropped looks like.
fn blocked(result: &Result<String, i32>) -> bool {
    matches!(result, Err(7 | 28))
}

fn address(host: &Host, name: &str) -> String {
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    host.lighter(["inspect", "-f", format, name])
        .success()
        .text()
        .to_owned()
}

fn gateway(host: &Host, network: &str) -> String {
    let format = "{{(index .IPAM.Config 0).Gateway}}";
    host.lighter(["network", "inspect", "-f", format, network])
        .success()
        .text()
        .to_owned()
}

#[test]
fn a_published_port_is_reached_from_everywhere() {
    let Some(host) = ready() else { return };
    let neighbour = host.neighbour();
    serve(&host, "web", "-p 8080:80");
    host.lighter(["run", "-d", "--name", "other", BUSYBOX, "sleep", "1000"])
        .success();
    let gateway = gateway(&host, "bridge");

    let web = || Ok("web".to_owned());
    assert_eq!(get(&host, "127.0.0.1:8080"), web(), "the host's loopback");
    assert_eq!(
        get(&host, "192.0.2.1:8080"),
        web(),
        "an address of the host"
    );
    assert_eq!(
        get(&host, &format!("{gateway}:8080")),
        web(),
        "the bridge's address"
    );
    assert_eq!(
        get_from(&host, &neighbour, "192.0.2.1:8080"),
        web(),
        "another host"
    );
    for from in ["other", "web"] {
        for to in ["192.0.2.1", &gateway] {
            let fetched = inside(
                &host,
                from,
                &format!("timeout 3 wget -q -O- http://{to}:8080/index.html"),
            );
            assert_eq!(fetched.success().text(), "web", "container {from} to {to}");
        }
    }
}

#[test]
fn a_container_is_reached_by_nothing_but_published_ports() {
    let Some(host) = ready() else { return };
    let neighbour = host.neighbour();
    serve(&host, "web", "-p 127.0.0.1:8080:80");
    let address = address(&host, "web");
    assert_eq!(
        get(&host, &address),
        Ok("web".into()),
        "the host itself may"
    );

    let from_outside = get_from(&host, &neighbour, &address);
    assert!(
        blocked(&from_outside),
        "straight to its address: {from_outside:?}"
    );
    let published = get_from(&host, &neighbour, "192.0.2.1:8080");
    assert!(
        blocked(&published),
        "published on 127.0.0.1 only: {published:?}"
    );

    // A wire that carries packets to 127.0.0.1, as only an attacker sends them.
    let attack = "ip addr del 127.0.0.1/8 dev lo; sysctl -qw net.ipv4.conf.all.route_localnet=1
                  ip route add 127.0.0.1 via 192.0.2.1 src 192.0.2.2
                  curl -sS --max-time 2 http://127.0.0.1:8080/index.html";
    let mut command = neighbour.command("sh", host.directory());
    command.args(["-c", attack]);
    let output = Output::of(command);
    assert_ne!(
        output.code, 0,
        "the host's loopback by a wire: {}",
        output.stdout
    );
}

#[test]
fn networks_do_not_reach_each_other() {
    let Some(host) = ready() else { return };
    for network in ["red", "blue"] {
        host.lighter(["network", "create", network]).success();
        serve(&host, network, &format!("--network {network}"));
    }
    serve(&host, "open", "--network blue -p 8081:80");
    let fetch = |to: &str| {
        inside(
            &host,
            "red",
            &format!("timeout 3 wget -q -O- http://{to}/index.html"),
        )
    };

    assert_ne!(
        fetch(&address(&host, "blue")).code,
        0,
        "another network's address"
    );
    assert_ne!(fetch("blue").code, 0, "another network's name");
    let published = fetch(&format!("{}:8081", gateway(&host, "red")));
    assert_eq!(
        published.success().text(),
        "open",
        "a published port of another network"
    );

    // In two networks at once.
    host.lighter(["network", "connect", "--alias", "azure", "blue", "red"])
        .success();
    assert_eq!(fetch("blue").success().text(), "blue");
    assert_eq!(fetch("open").success().text(), "open");
    let back = inside(
        &host,
        "blue",
        "timeout 3 wget -q -O- http://azure/index.html",
    );
    assert_eq!(back.success().text(), "red");
    host.lighter(["network", "disconnect", "blue", "red"])
        .success();
    assert_ne!(fetch("blue").code, 0, "after it left");
    host.lighter(["network", "disconnect", "blue", "red"])
        .exits(1);
}

#[test]
fn an_internal_network_has_no_way_out_or_in() {
    let Some(host) = ready() else { return };
    let neighbour = host.neighbour();
    host.lighter(["network", "create", "--internal", "inner"])
        .success();
    serve(&host, "web", "--network inner -p 8080:80");
    serve(&host, "other", "--network inner");

    let fetched = inside(
        &host,
        "other",
        "timeout 3 wget -q -O- http://web/index.html",
    );
    assert_eq!(fetched.success().text(), "web");
    assert!(
        !inside(&host, "web", "ip route")
            .success()
            .text()
            .contains("default")
    );
    assert_ne!(
        inside(&host, "web", "timeout 3 wget -q -O- http://192.0.2.2/").code,
        0
    );
    assert!(blocked(&get_from(&host, &neighbour, "192.0.2.1:8080")));
    let outside = inside(&host, "web", "nslookup example.org 127.0.0.11");
    assert!(outside.stdout.contains("SERVFAIL"), "{outside:?}");
}

#[test]
fn containers_go_out_under_the_hosts_address() {
    let Some(host) = ready() else { return };
    let neighbour = host.neighbour();
    let mut listen = neighbour.command("timeout", host.directory());
    listen.args(["10", "nc", "-n", "-v", "-l", "-p", "9000"]);
    let listener = std::thread::spawn(move || Output::of(listen));
    support::eventually("the neighbour listens", 10, || {
        let mut sockets = neighbour.command("ss", host.directory());
        sockets.args(["-Hltn", "sport = 9000"]);
        (!Output::of(sockets).text().is_empty()).then_some(())
    });
    let out = host.lighter([
        "run",
        "--rm",
        BUSYBOX,
        "sh",
        "-c",
        "echo hello | nc -w 1 192.0.2.2 9000",
    ]);
    out.success();
    let heard = listener.join().expect("the listener ended");
    assert!(heard.stdout.contains("hello"), "{heard:?}");
    assert!(
        heard.stderr.contains("192.0.2.1"),
        "it came from the host: {heard:?}"
    );
}

#[test]
fn udp_ranges_and_free_ports_are_published() {
    let Some(host) = ready() else { return };
    if skipped(&[Need::Program("python3")]) {
        return;
    }
    let ports = ["-p", "7000-7001:53-54/udp", "-p", "80"];
    let line = ["run", "-d", "--name", "echo"].into_iter().chain(ports);
    host.lighter(line.chain([BUSYBOX, "sleep", "1000"]))
        .success();
    let _echo: Vec<_> = ["53", "54"]
        .map(|port| beside(&host, "echo", &format!("{ECHO}serve({port})")))
        .into();
    for port in [7000, 7001] {
        let ask = format!("{ECHO}ask({port})");
        support::eventually("the answer over UDP", 10, || {
            let mut command = host.command("python3");
            command.args(["-c", &ask]);
            (Output::of(command).text() == "ping").then_some(())
        });
    }
    let free = host.lighter(["port", "echo", "80"]).success();
    let free: u16 = free
        .text()
        .rsplit(':')
        .next()
        .unwrap_or_default()
        .parse()
        .expect("a port");
    assert!(free >= 1024, "{free}");
    let element = format!("\"tcp\",{free}");
    let rules = host.nft().to_string();
    assert!(
        rules.contains(&element),
        "no element for port {free} in {rules}"
    );
}

#[test]
fn a_port_that_is_taken_is_refused_with_the_holders_name() {
    let Some(host) = ready() else { return };
    serve(&host, "web", "-p 8080:80");
    let second = host
        .lighter(["run", "-d", "-p", "8080:80", BUSYBOX, "true"])
        .exits(125);
    assert!(
        second
            .stderr
            .contains("8080/tcp of the host is in use by container web"),
        "{}",
        second.stderr
    );

    let mut listen = host.command("nc");
    listen.args(["-l", "-p", "8090"]);
    let _listener = Background::start_silent(listen);
    let third = support::eventually("the port is taken", 10, || {
        let third = host.lighter(["run", "--rm", "-p", "8090:80", BUSYBOX, "true"]);
        (third.code == 125).then_some(third)
    });
    assert!(
        third
            .stderr
            .contains("8090/tcp of the host is in use by process"),
        "{}",
        third.stderr
    );
    assert!(third.stderr.contains("(nc"), "{}", third.stderr);

    // What was refused has left nothing, and the port is free for the next when its holder goes.
    host.lighter(["rm", "-f", "web"]).success();
    host.lighter(["run", "--rm", "-p", "8080:80", BUSYBOX, "true"])
        .success();
}

#[test]
fn names_are_answered_to_real_resolvers() {
    let Some(host) = ready() else { return };
    host.lighter(["network", "create", "shop"]).success();
    for name in ["one", "two"] {
        host.lighter([
            "run",
            "-d",
            "--name",
            name,
            "--network",
            "shop",
            "--network-alias",
            "web",
            BUSYBOX,
            "sleep",
            "1000",
        ])
        .success();
    }
    let (one, two) = (address(&host, "one"), address(&host, "two"));

    let asked = inside(&host, "one", "nslookup two").success();
    assert!(asked.stdout.contains(&two), "busybox: {}", asked.stdout);
    let both = dig(&host, "one", "web A");
    assert!(
        both.contains(&one) && both.contains(&two),
        "an alias has both: {both}"
    );
    let firsts: std::collections::BTreeSet<String> = (0..8)
        .filter_map(|_| dig(&host, "one", "web A").lines().next().map(str::to_owned))
        .collect();
    assert_eq!(firsts.len(), 2, "round robin: {firsts:?}");
    assert_eq!(dig(&host, "one", &format!("-x {two}")), "two.shop.");
    assert_eq!(dig(&host, "one", "+tcp two A"), two, "over TCP");
    let id = host
        .lighter(["inspect", "-f", "{{.Id}}", "two"])
        .success()
        .text()
        .to_owned();
    assert_eq!(
        dig(&host, "one", &format!("{} A", &id[..12])),
        two,
        "the short id"
    );

    let status = |name: &str| dig_status(&host, "one", name);
    assert_eq!(
        status("two AAAA"),
        "NOERROR",
        "a known name without such an address"
    );
    assert_eq!(status("nobody A"), "SERVFAIL", "nobody to ask");
    host.lighter(["rm", "-f", "two"]).success();
    assert_eq!(dig(&host, "one", "web A"), one, "who is gone has no name");
}

#[test]
fn other_names_are_asked_of_the_servers_given() {
    let Some(host) = ready() else { return };
    let neighbour = host.neighbour();
    if skipped(&[Need::Program("python3")]) {
        return;
    }
    // Nobody has the first address; the second answers.
    let mut server = neighbour.command("python3", host.directory());
    server.args(["-c", NAME_SERVER]);
    let _server = Background::start_silent(server);
    host.lighter([
        "run",
        "-d",
        "--name",
        "one",
        "--dns",
        "192.0.2.9",
        "--dns",
        "192.0.2.2",
        BUSYBOX,
        "sleep",
        "1000",
    ])
    .success();
    support::eventually("the neighbour answers", 20, || {
        (dig(&host, "one", "+time=8 anything.example A") == "198.51.100.7").then_some(())
    });
    assert_eq!(
        dig(&host, "one", "+time=8 +tcp anything.example A"),
        "198.51.100.7"
    );
}

/// Answers every question with 198.51.100.7, over UDP and TCP.
const NAME_SERVER: &str = "
import socket, struct, threading
def reply(q):
    return q[:2] + b'\\x81\\x80\\0\\1\\0\\1\\0\\0\\0\\0' + q[12:q.index(b'\\0', 12) + 5] + b'\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\0\\0\\4' + bytes([198, 51, 100, 7])
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.bind(('', 53))
tcp = socket.socket(); tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); tcp.bind(('', 53)); tcp.listen()
def serve():
    while True:
        c, _ = tcp.accept(); q = c.recv(4096); r = reply(q[2:]); c.sendall(struct.pack('>H', len(r)) + r); c.close()
threading.Thread(target=serve, daemon=True).start()
while True:
    q, a = udp.recvfrom(4096); udp.sendto(reply(q), a)
";

#[test]
fn a_name_server_may_run_in_a_container() {
    let Some(host) = ready() else { return };
    if skipped(&[Need::Program("python3")]) {
        return;
    }
    for name in ["dns", "other"] {
        host.lighter(["run", "-d", "--name", name, BUSYBOX, "sleep", "1000"])
            .success();
    }
    let _server = beside(&host, "dns", NAME_SERVER);
    let own = format!("@{} +short own.example A", address(&host, "dns"));
    support::eventually("the container's own server answers", 10, || {
        (dig_at(&host, "other", &own).text() == "198.51.100.7").then_some(())
    });
    assert_eq!(
        dig(&host, "dns", "other A"),
        address(&host, "other"),
        "and ours still does"
    );
}

/// `dig +short` in the network of a container, asking our server.
#[track_caller]
fn dig(host: &Host, name: &str, question: &str) -> String {
    dig_output(host, name, &format!("+short {question}"))
        .text()
        .to_owned()
}

fn dig_status(host: &Host, name: &str, question: &str) -> String {
    let output = dig_output(host, name, question);
    let status = output.stdout.split("status: ").nth(1).unwrap_or_default();
    status.split(',').next().unwrap_or_default().to_owned()
}

#[track_caller]
fn dig_output(host: &Host, name: &str, question: &str) -> Output {
    dig_at(host, name, &format!("@127.0.0.11 {question}")).success()
}

#[track_caller]
fn dig_at(host: &Host, name: &str, question: &str) -> Output {
    let mut command = in_network_of(host, name, "dig");
    command
        .args(["+tries=1", "+time=4"])
        .args(question.split_whitespace());
    Output::of(command)
}

/// A program of the machine in the network of a container: nothing else of the container is entered.
#[track_caller]
fn in_network_of(host: &Host, name: &str, program: &str) -> Command {
    let pid = host
        .lighter(["inspect", "-f", "{{.State.Pid}}", name])
        .success();
    let mut command = Command::new("nsenter");
    command.args([&format!("--net=/proc/{}/ns/net", pid.text()), program]);
    command
}

/// A Python program that runs in the network of a container.
fn beside(host: &Host, name: &str, program: &str) -> Background {
    let mut command = in_network_of(host, name, "python3");
    command.args(["-c", program]);
    Background::start_silent(command)
}

/// Both sides of a conversation over UDP.
const ECHO: &str = "
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
def serve(port):
    s.bind(('', port))
    while True:
        text, client = s.recvfrom(100); s.sendto(text, client)
def ask(port):
    s.settimeout(1); s.sendto(b'ping', ('127.0.0.1', port)); print(s.recv(100).decode())
";

#[test]
fn a_flushed_ruleset_comes_back() {
    let Some(host) = ready() else { return };
    let neighbour = host.neighbour();
    host.lighter(["network", "create", "red"]).success();
    serve(&host, "web", "-p 8080:80");
    serve(&host, "red", "--network red");
    let rules = || host.shell("nft list ruleset").success().stdout;
    let before = rules();
    host.shell("nft flush ruleset").success();
    let flushed = Instant::now();
    support::eventually("the rules are back", 5, || {
        (rules() == before).then_some(())
    });
    assert!(
        flushed.elapsed() < Duration::from_secs(1),
        "after {:?}",
        flushed.elapsed()
    );

    assert_eq!(
        get_from(&host, &neighbour, "192.0.2.1:8080"),
        Ok("web".into())
    );
    let across = inside(
        &host,
        "red",
        &format!(
            "timeout 3 wget -q -O- http://{}/index.html",
            address(&host, "web")
        ),
    );
    assert_ne!(across.code, 0, "networks are apart again");
}

#[test]
fn a_firewall_that_forwards_nothing_lets_containers_be() {
    let Some(host) = ready() else { return };
    let neighbour = host.neighbour();
    // What docker and ufw do.
    host.shell("iptables -P FORWARD DROP").success();
    serve(&host, "web", "-p 8080:80");
    assert_eq!(
        get_from(&host, &neighbour, "192.0.2.1:8080"),
        Ok("web".into())
    );
    let listed = host.shell("iptables -S FORWARD").success().stdout;
    assert!(
        listed.contains("-j ACCEPT"),
        "iptables still reads its chain: {listed}"
    );
    host.lighter(["rm", "-f", "web"]).success();
    support::eventually("our rules leave the chain", 5, || {
        let listed = host.shell("iptables -S FORWARD").success().stdout;
        (listed.trim() == "-P FORWARD DROP").then_some(())
    });
}

#[test]
fn subnets_avoid_the_hosts_routes() {
    let Some(host) = ready() else { return };
    host.shell(
        "ip link add vpn type veth peer name far; ip link set far up; ip addr add 10.255.0.1/32 dev vpn; ip link set vpn up
                ip route add 172.16.0.0/12 dev vpn; ip route add 192.168.0.0/16 dev vpn",
    )
    .success();
    host.lighter(["network", "create", "shop"]).success();
    let subnet = host
        .lighter([
            "network",
            "inspect",
            "-f",
            "{{(index .IPAM.Config 0).Subnet}}",
            "shop",
        ])
        .success();
    assert!(subnet.text().starts_with("10."), "{}", subnet.text());
    serve(&host, "web", "--network shop");
    assert_eq!(get(&host, &address(&host, "web")), Ok("web".into()));

    host.lighter(["network", "create", "--subnet", "10.77.0.0/24", "one"])
        .success();
    let again = host
        .lighter(["network", "create", "--subnet", "10.77.0.128/25", "two"])
        .exits(1);
    assert!(
        again.stderr.contains("overlaps with network one"),
        "{}",
        again.stderr
    );
}

#[test]
fn a_container_without_ipv6_has_none_and_one_with_it_takes_no_router() {
    let Some(host) = ready() else { return };
    host.lighter(["network", "create", "--ipv6", "six"])
        .success();
    let plain = host
        .lighter([
            "run", "--rm", BUSYBOX, "ip", "-6", "addr", "show", "dev", "eth0",
        ])
        .success();
    assert_eq!(plain.text(), "", "an IPv4 network");
    serve(&host, "web", "--network six -p 8080:80");
    let ipv6 = inside(&host, "web", "ip -6 addr show dev eth0 scope global").success();
    assert!(ipv6.stdout.contains("inet6 fd"), "{}", ipv6.stdout);
    assert_eq!(
        inside(&host, "web", "cat /proc/sys/net/ipv6/conf/eth0/accept_ra").text(),
        "0"
    );
    let id = host
        .lighter(["network", "inspect", "-f", "{{.Id}}", "six"])
        .success();
    let bridge = format!("lt-{}", &id.text()[..12]);
    let accept = host
        .shell(&format!("cat /proc/sys/net/ipv6/conf/{bridge}/accept_ra"))
        .success();
    assert_eq!(accept.text(), "0", "the bridge of the host");
    host.shell("ip -6 addr add 2001:db8::1/128 dev lo")
        .success();
    assert_eq!(
        get(&host, "[2001:db8::1]:8080"),
        Ok("web".into()),
        "published on every IPv6 address"
    );
}

#[test]
fn nothing_is_left_on_the_host() {
    let Some(host) = ready() else { return };
    host.shell("sysctl -qw net.ipv4.ip_forward=0").success();
    host.lighter(["run", "--rm", BUSYBOX, "true"]).success();
    let before = Snapshot::of(&host);
    host.lighter(["network", "create", "red"]).success();
    serve(&host, "web", "-p 8080:80");
    serve(&host, "red", "--network red -p 8081:80/udp");
    assert_eq!(host.shell("sysctl -n net.ipv4.ip_forward").text(), "1");
    let busy = host.lighter(["network", "rm", "red"]).exits(1);
    assert!(
        busy.stderr.contains("network red is in use by red"),
        "{}",
        busy.stderr
    );
    host.lighter(["rm", "-f", "web", "red"]).success();
    host.lighter(["network", "rm", "red"]).success();
    before.assert_nothing_added(&host);
    assert_eq!(
        host.shell("sysctl -n net.ipv4.ip_forward").text(),
        "0",
        "as it was"
    );
    let list = host
        .lighter(["network", "ls", "--format", "{{.Name}} {{.Driver}}"])
        .success();
    assert_eq!(list.lines(), ["bridge bridge", "host host", "none null"]);
}

#[test]
fn two_lighters_on_one_host_do_not_meet() {
    let Some(host) = ready() else { return };
    serve(&host, "web", "-p 8080:80");
    let elsewhere = host.directory().join("elsewhere");
    let other = |words: &[&str]| {
        let mut command = host.command(host.program());
        command
            .arg("--root")
            .arg(elsewhere.join("root"))
            .arg("--state")
            .arg(elsewhere.join("state"))
            .args(words);
        Output::of(command)
    };
    other(&["pull", "-q", BUSYBOX]).success();
    other(&[
        "run", "-d", "--name", "web", "-p", "8081:80", BUSYBOX, "sh", "-c", SERVE,
    ])
    .success();
    let fetched = support::eventually("the other one serves", 10, || {
        get(&host, "127.0.0.1:8081").ok()
    });
    assert_ne!(fetched, "web", "its own host name");
    assert_eq!(get(&host, "127.0.0.1:8080"), Ok("web".into()));
    let tables = host.shell("nft list tables").success().stdout;
    assert_eq!(
        tables
            .lines()
            .filter(|line| line.contains("inet lighter-"))
            .count(),
        2,
        "{tables}"
    );
    other(&["rm", "-f", "web"]).success();
    assert_eq!(
        get(&host, "127.0.0.1:8080"),
        Ok("web".into()),
        "the first is untouched"
    );
}

#[test]
fn a_container_keeps_its_address_and_leaves_it_at_once() {
    let Some(host) = ready() else { return };
    host.lighter(["network", "create", "--subnet", "10.77.0.0/24", "net"])
        .success();
    serve(&host, "one", "--network net");
    let before = address(&host, "one");
    host.lighter(["restart", "-t", "0", "one"]).success();
    assert_eq!(address(&host, "one"), before, "after a restart");
    host.lighter(["stop", "-t", "0", "one"]).success();
    let other = ["run", "--rm", "--network", "net", BUSYBOX, "hostname", "-i"];
    let other = host.lighter(other).success();
    assert_ne!(other.text(), before, "a free address is taken first");
    host.lighter(["start", "one"]).success();
    assert_eq!(address(&host, "one"), before, "after a stop and a start");

    // One after the other with the same address: the second need not wait until the kernel is done with the first.
    for _ in 0..5 {
        let fixed = ["run", "--rm", "--network", "net", "--ip", "10.77.0.77"];
        let fixed = host
            .lighter(fixed.into_iter().chain([BUSYBOX, "hostname", "-i"]))
            .success();
        assert_eq!(fixed.text(), "10.77.0.77");
    }
}

#[test]
fn a_network_of_the_same_name_is_another_network() {
    let Some(host) = ready() else { return };
    for _ in 0..3 {
        host.lighter(["network", "create", "net"]).success();
        serve(&host, "web", "--network net -p 8080:80");
        // Longer than the old network's last container lingers.
        for _ in 0..8 {
            assert_eq!(get(&host, "127.0.0.1:8080"), Ok("web".into()));
            std::thread::sleep(Duration::from_millis(50));
        }
        host.lighter(["rm", "-f", "web"]).success();
        host.lighter(["network", "rm", "net"]).success();
    }
}

#[test]
fn what_joins_and_leaves_while_it_runs_is_shown_at_once() {
    let Some(host) = ready() else { return };
    for network in ["red", "blue"] {
        host.lighter(["network", "create", network]).success();
    }
    serve(&host, "web", "--network red -p 8080:80");
    let hosts = || {
        let own = inside(&host, "web", "grep web /etc/hosts").success();
        own.lines().len()
    };
    let networks = || {
        let format = "{{.Networks}} {{.Ports}}";
        host.lighter(["ps", "--format", format])
            .success()
            .text()
            .to_owned()
    };
    host.lighter(["network", "connect", "blue", "web"])
        .success();
    assert_eq!(hosts(), 2, "in /etc/hosts");
    assert_eq!(networks(), "red,blue 0.0.0.0:8080->80/tcp");

    // What it went out by goes: the other network takes that over, published ports too.
    host.lighter(["network", "disconnect", "red", "web"])
        .success();
    assert_eq!(hosts(), 1, "in /etc/hosts");
    assert_eq!(networks(), "blue 0.0.0.0:8080->80/tcp");
    let route = inside(&host, "web", "ip route show default").success();
    assert!(
        route.stdout.contains(&gateway(&host, "blue")),
        "{}",
        route.stdout
    );
    assert_eq!(get(&host, "127.0.0.1:8080"), Ok("web".into()));

    host.lighter(["network", "disconnect", "blue", "web"])
        .success();
    assert_eq!(networks(), "none");
    assert!(blocked(&get(&host, "127.0.0.1:8080")));
    host.lighter(["network", "connect", "red", "web"]).success();
    let route = inside(&host, "web", "ip route show default").success();
    assert!(
        route.stdout.contains(&gateway(&host, "red")),
        "{}",
        route.stdout
    );
}

#[test]
fn a_link_is_known_to_the_one_who_has_it() {
    let Some(host) = ready() else { return };
    host.lighter(["network", "create", "net"]).success();
    serve(&host, "web", "--network net");
    for (name, link) in [("one", "web:shop"), ("two", "web")] {
        let run = [
            "run",
            "-d",
            "--name",
            name,
            "--network",
            "net",
            "--link",
            link,
        ];
        host.lighter(run.into_iter().chain([BUSYBOX, "sleep", "1000"]))
            .success();
    }
    let fetch = |from: &str, name: &str| {
        let script = format!("timeout 3 wget -q -O- http://{name}/index.html");
        inside(&host, from, &script)
    };
    assert_eq!(fetch("one", "shop").success().text(), "web");
    assert_eq!(fetch("one", "web").success().text(), "web");
    assert_eq!(fetch("two", "web").success().text(), "web");
    assert_ne!(fetch("two", "shop").code, 0, "another container's alias");
}

#[test]
fn a_udp_client_reaches_who_has_the_port_now() {
    let Some(host) = ready() else { return };
    if skipped(&[Need::Program("python3")]) {
        return;
    }
    let answer = |name: &str| {
        let line = ["run", "-d", "--name", name, "-p", "5353:53/udp", BUSYBOX];
        host.lighter(line.into_iter().chain(["sleep", "1000"]))
            .success();
        let server = "import socket
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.bind(('', 53))
while True: udp.sendto(b'NAME', udp.recvfrom(9)[1])";
        beside(&host, name, &server.replace("NAME", name))
    };
    // The same client, from the same port: for the kernel that is one connection that never ends.
    let ask = || {
        support::eventually("an answer", 10, || {
            let client = "import socket
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.bind(('127.0.0.1', 40000)); udp.settimeout(1)
udp.sendto(b'who?', ('127.0.0.1', 5353)); print(udp.recv(9).decode())";
            let mut command = host.command("python3");
            command.args(["-c", client]);
            let output = Output::of(command);
            (!output.text().is_empty()).then(|| output.text().to_owned())
        })
    };
    let _one = answer("one");
    assert_eq!(ask(), "one");
    host.lighter(["rm", "-f", "one"]).success();
    // Somebody keeps the first one's address busy, so that the second has another.
    host.lighter(["run", "-d", BUSYBOX, "sleep", "1000"])
        .success();
    let _two = answer("two");
    assert_eq!(ask(), "two");
}

#[test]
fn a_legacy_firewall_that_forwards_nothing_is_told_of() {
    let Some(host) = ready() else { return };
    if skipped(&[Need::Program("iptables-legacy")]) {
        return;
    }
    host.lighter(["network", "create", "net"]).success();
    host.shell("iptables-legacy -P FORWARD DROP").success();
    let run = ["run", "--rm", "--network", "net", BUSYBOX, "true"];
    let told = host.lighter(run).success();
    let command = told
        .stderr
        .split('`')
        .nth(1)
        .expect("there is a command to type");
    host.shell(command).success();
    assert_eq!(host.lighter(run).success().stderr, "", "after {command}");

    let neighbour = host.neighbour();
    serve(&host, "web", "--network net -p 8080:80");
    assert_eq!(
        get_from(&host, &neighbour, "192.0.2.1:8080"),
        Ok("web".into())
    );
}

/// Containers come and go, several at once; some are given up at random. Nobody has another's address, and in the end
/// nobody has left anything.
#[test]
fn a_hundred_and_fifty_containers_come_and_go() {
    const AT_ONCE: usize = 5;
    const ROUNDS: usize = 6;
    const EACH: usize = 5;
    let Some(host) = ready() else { return };
    // 61 addresses.
    host.lighter(["network", "create", "--subnet", "10.78.0.0/26", "net"])
        .success();
    host.lighter(["run", "--rm", "--network", "net", BUSYBOX, "true"])
        .success();
    let before = Snapshot::of(&host);
    for round in 0..ROUNDS {
        std::thread::scope(|scope| {
            for worker in 0..AT_ONCE {
                let host = &host;
                scope.spawn(move || {
                    for number in 0..EACH {
                        let name = format!("c{round}-{worker}-{number}");
                        let run = ["run", "-d", "--name", &name, "--network", "net", "-p", "80"];
                        host.lighter(run.into_iter().chain([BUSYBOX, "sleep", "1000"]))
                            .success();
                    }
                });
            }
        });
        let format = "{{range .Containers}}{{.IPv4Address}} {{end}}";
        let listed = host
            .lighter(["network", "inspect", "-f", format, "net"])
            .success();
        let mut addresses: Vec<_> = listed.text().split_whitespace().collect();
        assert_eq!(addresses.len(), AT_ONCE * EACH);
        addresses.sort_unstable();
        addresses.dedup();
        assert_eq!(
            addresses.len(),
            AT_ONCE * EACH,
            "an address was given twice"
        );
        let links = host.ip(["link", "show", "type", "veth"]);
        assert!(links.as_array().map_or(0, Vec::len) >= AT_ONCE * EACH);
        let all = host.lighter(["ps", "-aq"]).success();
        let all: Vec<&str> = all.lines();
        std::thread::scope(|scope| {
            for some in all.chunks(EACH) {
                let host = &host;
                scope.spawn(move || {
                    host.lighter(["rm", "-f"].into_iter().chain(some.iter().copied()))
                        .success();
                });
            }
        });
    }
    before.assert_nothing_added(&host);
}

#[test]
fn a_shared_network_is_one_host_with_one_name() {
    let Some(host) = ready() else { return };
    host.lighter(["network", "create", "--subnet", "10.79.0.0/24", "net"])
        .success();
    serve(&host, "web", "--network net --ip 10.79.0.9");
    let script = "hostname; wget -q -O- http://127.0.0.1/index.html; grep web /etc/hosts";
    let beside = [
        "run",
        "--rm",
        "--network",
        "container:web",
        BUSYBOX,
        "sh",
        "-c",
    ];
    let told = host.lighter(beside.into_iter().chain([script])).success();
    assert_eq!(told.lines(), ["web", "web", "10.79.0.9\tweb"]);

    let same = [
        "run",
        "--rm",
        "--network",
        "net",
        "--ip",
        "10.79.0.9",
        BUSYBOX,
        "true",
    ];
    let refused = host.lighter(same);
    assert_eq!(refused.code, 125);
    assert!(
        refused.stderr.contains("in use by container web"),
        "{}",
        refused.stderr
    );
}
