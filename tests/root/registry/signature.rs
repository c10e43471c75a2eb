//! cosign's signatures, made here by `openssl` and `curl` as cosign's specification says.

use support::Host;

use super::{configuration, digest_by_skopeo, image, lighter};
use crate::host;

/// Signs `digest` of the repository `app` with `KEY.key`, as `cosign sign --key` does.
#[track_caller]
fn sign(host: &Host, digest: &str, key: &str) {
    let payload = format!(
        r#"{{"critical":{{"identity":{{"docker-reference":"localhost:5000/app"}},"image":{{"docker-manifest-digest":"{digest}"}},"type":"cosign container image signature"}},"optional":null}}"#
    );
    host.write("payload", payload);
    let tag = digest.replace(':', "-");
    host.shell(&format!(
        r#"
        registry=http://localhost:5000/v2/app
        upload() {{
            location=$(curl -sS -D - -o /dev/null -X POST $registry/blobs/uploads/ | tr -d '\r' | sed -n 's/^Location: //p')
            curl -sS --fail -X PUT -H 'Content-Type: application/octet-stream' --data-binary @$1 "$location&digest=sha256:$(sha256sum <$1 | cut -c1-64)"
        }}
        printf '{{}}' >config
        upload config && upload payload
        signature=$(openssl dgst -sha256 -sign {key}.key payload | base64 -w0)
        jq -nc --arg s "$signature" --arg c "sha256:$(sha256sum <config | cut -c1-64)" --arg d "sha256:$(sha256sum <payload | cut -c1-64)" \
            --argjson n "$(stat -c %s payload)" '{{schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json",
            config: {{mediaType: "application/vnd.oci.image.config.v1+json", digest: $c, size: 2}},
            layers: [{{mediaType: "application/vnd.dev.cosign.simplesigning.v1+json", digest: $d, size: $n,
            annotations: {{"dev.cosignproject.cosign/signature": $s}}}}]}}' >manifest
        curl -sS --fail -X PUT -H 'Content-Type: application/vnd.oci.image.manifest.v1+json' --data-binary @manifest $registry/manifests/{tag}.sig
        "#
    ))
    .success();
}

#[track_caller]
fn make_key(host: &Host, name: &str) {
    host.shell(&format!(
        "openssl ecparam -name prime256v1 -genkey -noout -out {name}.key && openssl ec -in {name}.key -pubout -out {name}.pub 2>/dev/null"
    ))
    .success();
}

#[test]
fn only_a_signature_by_the_given_key_counts() {
    let Some(host) = host() else { return };
    let registry = host.registry(5000, "");
    let name = format!("{registry}/app");
    image(&host, &[&name]);
    lighter(&host, &["push", &name]).success();
    lighter(&host, &["rmi", &name]).success();
    make_key(&host, "ours");
    make_key(&host, "other");
    let verified = ["pull", "--verify-key", "ours.pub", &name];

    let unsigned = lighter(&host, &verified).exits(1);
    assert!(
        unsigned.stderr.contains("it has no signatures"),
        "{}",
        unsigned.stderr
    );
    let digest = digest_by_skopeo(&host, &name, "--tls-verify=false");
    sign(&host, &digest, "other");
    let wrong = lighter(&host, &verified).exits(1);
    assert!(
        wrong.stderr.contains("is not by this key"),
        "{}",
        wrong.stderr
    );
    assert_eq!(
        lighter(&host, &["images", "-q"]).success().stdout,
        "",
        "nothing was kept"
    );
    sign(&host, &digest, "ours");
    lighter(&host, &verified).success();
    lighter(&host, &verified).success();
    // What is here is not enough either.
    lighter(&host, &["pull", "--verify-key", "other.pub", &name]).exits(1);
    lighter(&host, &["pull", "--verify-key", "payload", &name]).exits(1);
}

#[test]
fn a_policy_asks_for_signatures_by_registry() {
    let Some(host) = host() else { return };
    let registry = host.registry(5000, "");
    let (name, other) = (format!("{registry}/app"), format!("{registry}/free/app"));
    image(&host, &[&name, &other]);
    lighter(&host, &["push", &name]).success();
    lighter(&host, &["push", &other]).success();
    make_key(&host, "ours");
    std::fs::create_dir_all(configuration(&host)).unwrap();
    std::fs::copy(
        host.directory().join("ours.pub"),
        configuration(&host).join("ours.pub"),
    )
    .unwrap();
    host.write(
        "configuration/policy.toml",
        "[[policy]]\nprefix = \"*\"\nrequire = \"reject\"\n[[policy]]\nprefix = \"localhost:5000\"\nrequire = \"signed\"\nkeys = [\"ours.pub\"]\n[[policy]]\nprefix = \"localhost:5000/free\"\nrequire = \"accept\"\n",
    );
    lighter(&host, &["pull", &other]).success();
    lighter(&host, &["pull", &name]).exits(1);
    let rejected = lighter(&host, &["pull", "elsewhere.test/app"]).exits(1);
    assert!(
        rejected.stderr.contains("rejects all images"),
        "{}",
        rejected.stderr
    );
    // A container's image is pulled under the same rules.
    let rejected = lighter(&host, &["run", "--rm", "elsewhere.test/app"]).exits(125);
    assert!(
        rejected.stderr.contains("rejects all images"),
        "{}",
        rejected.stderr
    );
    let digest = digest_by_skopeo(&host, &name, "--tls-verify=false");
    sign(&host, &digest, "ours");
    lighter(&host, &["pull", &name]).success();
}
