//! The throw-away host itself: what the other tests stand on.

use crate::host;

#[test]
fn a_host_has_its_own_network_and_directory() {
    let (Some(one), Some(other)) = (host(), host()) else {
        return;
    };
    assert_ne!(one.directory(), other.directory());
    one.shell("ip link add probe type dummy 2>/dev/null || ip link add probe type bridge")
        .success();
    assert_eq!(one.ip(["link"]).as_array().map(Vec::len), Some(2));
    assert_eq!(other.ip(["link"]).as_array().map(Vec::len), Some(1));
}

#[test]
fn a_neighbour_reaches_the_host() {
    let Some(host) = host() else { return };
    host.registry(5001, "");
    let neighbour = host.neighbour();
    let mut request = neighbour.command("curl", host.directory());
    request.args(["-sS", "--max-time", "5", "http://192.0.2.1:5001/v2/"]);
    assert_eq!(support::Output::of(request).success().text(), "{}");
}

#[test]
fn a_host_serves_the_fixtures() {
    let Some(host) = host() else { return };
    let registry = host.fixtures();
    let catalogue = host.get(&format!("http://{registry}/v2/_catalog"));
    assert!(catalogue.contains("busybox"), "{catalogue}");
}
