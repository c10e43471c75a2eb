//! What registries list: tags, repositories, referrers; page after page, and as long as they like.

use image::registry::{Options, search, tags};
use image::{Digest, Reference, artifact};
use serde_json::{Value, json};
use support::http::{Reply, Request, Server, answer, typed};

fn nobody() -> Options {
    Options {
        auth_file: Some("/nonexistent/none".into()),
        ..Options::default()
    }
}

/// A page with a link to the next one, unless it is the last.
fn page(body: Value, next: Option<&str>) -> Reply {
    let mut headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
    headers.extend(next.map(|next| ("Link".to_owned(), format!("<{next}>; rel=\"next\""))));
    Reply::Answer(200, headers, body.to_string().into_bytes())
}

#[test]
fn tags_come_page_by_page() {
    let server = Server::start(|request| match request.path.as_str() {
        "/v2/r/tags/list" => page(json!({"tags": ["a", "b"]}), Some("/v2/r/tags/list?last=b")),
        "/v2/r/tags/list?last=b" => page(json!({"tags": ["c"]}), None),
        _ => answer(404, ""),
    });
    let reference: Reference = format!("{}/r", server.address).parse().unwrap();
    assert_eq!(tags(&reference, &nobody()).unwrap(), ["a", "b", "c"]);
}

#[test]
fn a_list_that_leads_elsewhere_or_nowhere_ends() {
    let other = Server::start(|_| page(json!({"tags": ["evil"]}), None));
    let elsewhere = format!("http://{}/v2/r/tags/list", other.address);
    let server = Server::start(move |_| page(json!({"tags": ["a"]}), Some(&elsewhere)));
    let reference: Reference = format!("{}/r", server.address).parse().unwrap();
    assert_eq!(tags(&reference, &nobody()).unwrap(), ["a"]);
    assert!(other.requests().is_empty());
    let server = Server::start(|_| page(json!({"tags": null}), Some("/v2/r/tags/list")));
    let reference: Reference = format!("{}/r", server.address).parse().unwrap();
    assert!(tags(&reference, &nobody()).unwrap().is_empty());
    assert_eq!(server.requests().len(), 1000, "a circle of pages is left");
}

fn found(
    handler: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> Result<Vec<String>, String> {
    let server = Server::start(handler);
    let found = search(&server.address.to_string(), "web", 10, &nobody());
    let found = found.map_err(|error| error.to_string())?;
    Ok(found.into_iter().map(|found| found.name).collect())
}

#[test]
fn a_search_uses_what_the_registry_has() {
    let first = |request: &Request| match request.path.as_str() {
        "/v1/search?q=web&n=10" => typed(
            "application/json",
            r#"{"results":[{"name":"team/web","description":null,"star_count":3,"is_official":true}]}"#,
        ),
        _ => answer(500, ""),
    };
    assert_eq!(found(first).unwrap(), ["team/web"]);
    let catalog = |request: &Request| match request.path.split('?').next() {
        Some("/v1/search") => typed("text/html", "<html>"),
        Some("/v2/_catalog") if request.earlier == 0 && !request.path.contains("last") => page(
            json!({"repositories": ["other", "a/web"]}),
            Some("/v2/_catalog?last=a"),
        ),
        Some("/v2/_catalog") => page(json!({"repositories": ["webber"]}), None),
        _ => answer(404, ""),
    };
    assert_eq!(found(catalog).unwrap(), ["a/web", "webber"]);
    for refuse in [
        |_: &Request| answer(404, ""),
        |_: &Request| answer(401, ""),
        |_: &Request| answer(200, "<html>"),
    ] {
        let error = found(refuse).unwrap_err();
        assert!(
            error.contains("has no search and does not list its repositories"),
            "{error}"
        );
    }
    assert!(found(|_| answer(503, "")).unwrap_err().contains("503"));
}

#[test]
fn referrers_are_the_registrys_own_list_where_it_keeps_one() {
    let subject = Digest::of(b"subject");
    let entry = |kind: &str| json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": Digest::of(kind.as_bytes()), "size": 7, "artifactType": kind});
    let index = move |kinds: &[&str]| {
        let manifests: Vec<Value> = kinds.iter().map(|kind| entry(kind)).collect();
        json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests})
    };
    let path = format!("/v2/r/referrers/{subject}");
    let server = Server::start(move |request| {
        if request.path == path {
            page(index(&["x/one", "x/two"]), Some(&format!("{path}?page=2")))
        } else if request.path == format!("{path}?page=2") {
            page(index(&["x/one"]), None)
        } else {
            answer(404, "")
        }
    });
    let reference: Reference = format!("{}/r@{subject}", server.address).parse().unwrap();
    let all = artifact::referrers(&reference, None, &nobody()).unwrap();
    assert_eq!(all.len(), 3);
    assert_eq!(
        artifact::referrers(&reference, Some("x/two"), &nobody())
            .unwrap()
            .len(),
        1
    );
    let empty = Server::start(|_| answer(404, ""));
    let reference: Reference = format!("{}/r@{subject}", empty.address).parse().unwrap();
    assert!(
        artifact::referrers(&reference, None, &nobody())
            .unwrap()
            .is_empty()
    );
}
