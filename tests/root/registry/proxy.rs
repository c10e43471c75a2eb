//! Proxies from the environment: used for the network, never for this machine.

use support::http::{Reply, Server, answer};

use super::{ADDRESS, image, lighter_with, with_address};
use crate::host;

const PROXY: &str = "192.0.2.1:3128";
const PROXY_URL: &str = "http://192.0.2.1:3128";

#[test]
fn a_plain_registry_is_asked_through_the_proxy() {
    let Some(host) = host() else { return };
    with_address(&host);
    let proxy = Server::start_in(host.network(), PROXY, |_| answer(404, "{}"));
    let name = "registry.invalid:5000/app";
    let arguments = ["pull", "--tls-verify=false", name];
    lighter_with(
        &host,
        &arguments,
        &[("HTTP_PROXY", PROXY_URL), ("http_proxy", PROXY_URL)],
    )
    .exits(1);
    let asked: Vec<String> = proxy
        .requests()
        .into_iter()
        .map(|request| request.path)
        .collect();
    assert!(
        asked
            .iter()
            .any(|path| path.starts_with("http://registry.invalid:5000/v2/app/")),
        "{asked:?}"
    );
}

#[test]
fn tls_goes_through_the_proxy_end_to_end() {
    let Some(host) = host() else { return };
    with_address(&host);
    let authority = host.authority("own");
    let certificate = host.certificate(&authority, "registry", &["DNS:registry.invalid"]);
    host.secure_registry(5443, &certificate, None, "");
    // Only the proxy knows where the name leads.
    let proxy = Server::start_in(host.network(), PROXY, |request| {
        match request.method.as_str() {
            "CONNECT" => Reply::Tunnel("127.0.0.1:5443".to_owned()),
            _ => answer(400, ""),
        }
    });
    let name = "registry.invalid:5443/app";
    image(&host, &[name]);
    let directory = authority.certificate();
    let directory = directory.parent().unwrap().to_str().unwrap();
    let environment = [("HTTPS_PROXY", PROXY_URL)];
    lighter_with(
        &host,
        &["push", "--cert-dir", directory, name],
        &environment,
    )
    .success();
    lighter_with(
        &host,
        &["pull", "--cert-dir", directory, name],
        &environment,
    )
    .success();
    assert!(
        proxy
            .requests()
            .iter()
            .all(|request| request.path == "registry.invalid:5443")
    );
    assert!(!proxy.requests().is_empty());
}

#[test]
fn loopback_and_no_proxy_are_reached_directly() {
    let Some(host) = host() else { return };
    with_address(&host);
    let registry = host.registry(5000, "");
    let name = format!("{registry}/app");
    let other = format!("{ADDRESS}:5000/app");
    image(&host, &[&name, &other]);
    let proxy = Server::start_in(host.network(), PROXY, |_| answer(502, ""));
    let all = [
        ("HTTP_PROXY", PROXY_URL),
        ("HTTPS_PROXY", PROXY_URL),
        ("ALL_PROXY", PROXY_URL),
    ];
    lighter_with(&host, &["push", &name], &all).success();
    assert!(proxy.requests().is_empty(), "{:?}", proxy.requests());
    let excepted = [
        all[0],
        all[1],
        all[2],
        ("NO_PROXY", "example.test,192.0.2.0/24"),
    ];
    lighter_with(&host, &["pull", "--tls-verify=false", &other], &excepted).success();
    assert!(proxy.requests().is_empty(), "{:?}", proxy.requests());
}
