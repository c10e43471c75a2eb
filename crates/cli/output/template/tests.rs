//! The language as docker's users meet it, each case checked against Go's words.

use serde_json::{Value, json};

use super::{Error, Template};

fn data() -> Value {
    json!({
        "Id": "0123456789abcdef",
        "Name": "/web",
        "Count": 3,
        "Ratio": 0.5,
        "Empty": "",
        "Nothing": null,
        "State": {"Status": "running", "Running": true, "Pid": 42, "Health": null},
        "Config": {
            "Env": ["A=1", "B=2"],
            "Labels": {"com.example.x": "y", "zeta": "z", "alpha": "a"},
        },
        "Labels": "com.example.x=y,a=b",
        "Mounts": [
            {"Type": "bind", "Source": "/a"},
            {"Type": "volume", "Source": "/b"},
        ],
        "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "172.17.0.2"}}},
    })
}

fn show(template: &str) -> String {
    Template::parse(template).unwrap().render(&data()).unwrap()
}

fn fail(template: &str) -> String {
    Template::parse(template)
        .and_then(|template| template.render(&data()))
        .unwrap_err()
        .to_string()
}

#[track_caller]
fn all(cases: &[(&str, &str)]) {
    for (template, expected) in cases {
        assert_eq!(show(template), *expected, "{template}");
    }
}

#[test]
fn fields_and_chains() {
    all(&[
        ("{{.Name}}", "/web"),
        ("{{.State.Status}}", "running"),
        ("{{ .State.Pid }}", "42"),
        ("a{{.Name}}b{{.Count}}c", "a/webb3c"),
        ("{{$.Name}}", "/web"),
        ("{{(index .Mounts 1).Source}}", "/b"),
        ("{{.Nothing}}", "<no value>"),
        ("{{.Ratio}}", "0.5"),
        ("no action", "no action"),
        ("", ""),
    ]);
}

#[test]
fn whole_values_print_as_go_does() {
    all(&[
        ("{{.Config.Env}}", "[A=1 B=2]"),
        ("{{.Config.Labels}}", "map[alpha:a com.example.x:y zeta:z]"),
        (
            "{{.State}}",
            "map[Health:<nil> Pid:42 Running:true Status:running]",
        ),
    ]);
}

#[test]
fn conditions() {
    all(&[
        ("{{if .State.Running}}up{{end}}", "up"),
        ("{{if .Empty}}x{{else}}y{{end}}", "y"),
        (
            "{{if .Empty}}x{{else if .Nothing}}y{{else if .Count}}z{{else}}w{{end}}",
            "z",
        ),
        (
            "{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}",
            "none",
        ),
        ("{{if and .Count .Empty}}x{{else}}y{{end}}", "y"),
        ("{{if or .Empty .Count}}x{{end}}", "x"),
        ("{{if not .Empty}}x{{end}}", "x"),
        (
            "{{if eq .State.Status \"running\" \"paused\"}}x{{end}}",
            "x",
        ),
        ("{{if ne .Count 3}}x{{else}}y{{end}}", "y"),
        ("{{if gt .Count 2}}x{{end}}{{if le .Count 3}}y{{end}}", "xy"),
        ("{{if and (ge .Count 1) (lt .Count 9)}}in{{end}}", "in"),
        ("{{and .Count .Name}} {{or .Empty \"d\"}}", "/web d"),
    ]);
}

#[test]
fn and_or_stop_early() {
    all(&[
        ("{{and .Empty .State.Health.Status}}", ""),
        ("{{or .Name .State.Health.Status}}", "/web"),
    ]);
}

#[test]
fn loops() {
    all(&[
        ("{{range .Config.Env}}[{{.}}]{{end}}", "[A=1][B=2]"),
        (
            "{{range $i, $e := .Config.Env}}{{$i}}:{{$e}} {{end}}",
            "0:A=1 1:B=2 ",
        ),
        (
            "{{range $k, $v := .Config.Labels}}{{$k}}={{$v}};{{end}}",
            "alpha=a;com.example.x=y;zeta=z;",
        ),
        (
            "{{range .Mounts}}{{.Type}}{{println}}{{end}}",
            "bind\nvolume\n",
        ),
        ("{{range .Nothing}}x{{else}}empty{{end}}", "empty"),
        ("{{range .Mounts}}{{$.Name}}{{end}}", "/web/web"),
        ("{{range .Config.Env}}{{.}}{{break}}{{end}}", "A=1"),
        (
            "{{range $i, $e := .Config.Env}}{{if eq $i 0}}{{continue}}{{end}}{{$e}}{{end}}",
            "B=2",
        ),
        (
            "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}",
            "172.17.0.2",
        ),
        ("{{range 3}}{{.}}{{end}}", "012"),
    ]);
}

#[test]
fn with_and_variables() {
    all(&[
        ("{{with .State}}{{.Status}}{{end}}", "running"),
        ("{{with .Nothing}}x{{else}}y{{end}}", "y"),
        ("{{with $x := .Count}}{{$x}}{{end}}", "3"),
        ("{{with .Empty}}x{{else with .Name}}{{.}}{{end}}", "/web"),
        ("{{$x := .Name}}{{$x}}", "/web"),
        ("{{$x := 1}}{{if true}}{{$x = 2}}{{end}}{{$x}}", "2"),
        ("{{$x := 1}}{{if true}}{{$x := 2}}{{end}}{{$x}}", "1"),
        ("{{$s := .State}}{{$s.Status}}", "running"),
        (
            "{{$n := 0}}{{range .Config.Env}}{{$n = len .}}{{end}}{{$n}}",
            "3",
        ),
    ]);
}

#[test]
fn named_templates() {
    all(&[
        (
            "{{define \"t\"}}<{{.}}>{{end}}{{template \"t\" .Name}}",
            "</web>",
        ),
        (
            "{{define \"t\"}}[{{.Type}}]{{end}}{{range .Mounts}}{{template \"t\" .}}{{end}}",
            "[bind][volume]",
        ),
        ("{{block \"b\" .Count}}n={{.}}{{end}}", "n=3"),
    ]);
}

#[test]
fn trim_markers_and_comments() {
    all(&[
        ("a  {{- .Count -}}  b", "a3b"),
        ("a\n{{- /* why */ -}}\nb", "ab"),
        ("a {{/* why */}} b", "a  b"),
        ("{{range .Config.Env -}} {{.}}, {{- end}}", "A=1,B=2,"),
        ("{{-3}}", "-3"),
    ]);
}

#[test]
fn go_functions() {
    all(&[
        (
            "{{len .Config.Env}} {{len .Name}} {{len .Config.Labels}}",
            "2 4 3",
        ),
        ("{{index .Config.Env 1}}", "B=2"),
        ("{{index .Config.Labels \"com.example.x\"}}", "y"),
        ("{{index .Config.Labels \"missing\"}}", ""),
        ("{{index .Mounts 0 \"Type\"}}", "bind"),
        ("{{slice .Id 0 4}} {{slice .Id 12}}", "0123 cdef"),
        ("{{print 1 2 \"x\" 3}}", "1 2x3"),
        ("{{print .Name .Count}}", "/web3"),
        ("{{println .Name 1}}", "/web 1\n"),
        (
            "{{html \"<a>\"}} {{urlquery \"a b&c\"}}",
            "&lt;a&gt; a+b%26c",
        ),
    ]);
}

#[test]
fn printf_verbs() {
    all(&[
        ("{{printf \"%s-%d\" .Name .Count}}", "/web-3"),
        (
            "{{printf \"%5d|%-5d|%05d\" .Count .Count .Count}}",
            "    3|3    |00003",
        ),
        ("{{printf \"%.4s\" .Id}}", "0123"),
        (
            "{{printf \"%-8s|%8s|\" \"ab\" \"cd\"}}",
            "ab      |      cd|",
        ),
        (
            "{{printf \"%q %v %t\" .Name .Config.Env .State.Running}}",
            "\"/web\" [A=1 B=2] true",
        ),
        ("{{printf \"%x %X %#x\" 255 255 255}}", "ff FF 0xff"),
        ("{{printf \"%.2f%%\" .Ratio}}", "0.50%"),
        ("{{.Count | printf \"%03d\"}}", "003"),
        ("{{printf \"%d\" .Name}}", "%!d(string=/web)"),
        ("{{printf \"%d %d\" 1}}", "1 %!d(MISSING)"),
        ("{{printf \"%d\" 1 2}}", "1%!(EXTRA int=2)"),
        (
            "{{printf \"%T %c %+d %U\" .Ratio 65 7 65}}",
            "float64 A +7 U+0041",
        ),
    ]);
}

#[test]
fn docker_functions() {
    all(&[
        ("{{json .Config.Env}}", "[\"A=1\",\"B=2\"]"),
        ("{{json .Name}}", "\"/web\""),
        ("{{json .Nothing}}", "null"),
        (
            "{{.State | json}}",
            "{\"Status\":\"running\",\"Running\":true,\"Pid\":42,\"Health\":null}",
        ),
        ("{{join .Config.Env \", \"}}", "A=1, B=2"),
        (
            "{{range split .Labels \",\"}}<{{.}}>{{end}}",
            "<com.example.x=y><a=b>",
        ),
        ("{{index (split .Labels \",\") 1}}", "a=b"),
        (
            "{{upper .Name}} {{lower \"AbC\"}} {{title \"hello world\"}}",
            "/WEB abc Hello World",
        ),
        ("{{truncate .Id 3}} {{truncate .Name 99}}", "012 /web"),
        ("[{{pad .Name 1 2}}] [{{pad .Empty 1 2}}]", "[ /web  ] []"),
        ("{{.Label \"com.example.x\"}}{{.Label \"none\"}}", "y"),
    ]);
}

#[test]
fn constants() {
    all(&[
        (r#"{{"a\tb\n\"q\"\x41\u00e9"}}"#, "a\tb\n\"q\"Aé"),
        ("{{`raw \\n`}}", "raw \\n"),
        (
            "{{'a'}} {{0x10}} {{1_000}} {{1.5e3}} {{true}}",
            "97 16 1000 1500 true",
        ),
    ]);
}

#[test]
fn pipelines_pass_the_last_argument() {
    all(&[
        ("{{.Config.Env | len}}", "2"),
        ("{{.Name | printf \"%s/%s\" \"a\"}}", "a//web"),
        ("{{(.Name | len) | printf \"%d\"}}", "4"),
        ("{{.Config.Env | json | len}}", "13"),
    ]);
}

#[test]
fn errors_name_the_place() {
    insta::assert_snapshot!(fail("{{.Foo}}"), @r#"template: :1:2: executing "" at <.Foo>: map has no entry for key "Foo""#);
    insta::assert_snapshot!(fail("ab\n {{.State.Foo}}"), @r#"template: :2:9: executing "" at <.State.Foo>: map has no entry for key "Foo""#);
    insta::assert_snapshot!(fail("{{.State.Health.Status}}"), @r#"template: :1:8: executing "" at <.State.Health.Status>: nil pointer evaluating interface {}.Status"#);
    insta::assert_snapshot!(fail("{{.Name.X}}"), @r#"template: :1:7: executing "" at <.Name.X>: can't evaluate field X in type string"#);
    insta::assert_snapshot!(fail("{{index .Config.Env 9}}"), @r#"template: :1:2: executing "" at <index .Config.Env 9>: error calling index: index out of range: 9"#);
    insta::assert_snapshot!(fail("{{json 1 2}}"), @r#"template: :1:2: executing "" at <json 1 2>: wrong number of args for json: want 1 got 2"#);
    insta::assert_snapshot!(fail("{{nil}}"), @r#"template: :1:2: executing "" at <nil>: nil is not a command"#);
    insta::assert_snapshot!(fail("{{eq 1 \"a\"}}"), @r#"template: :1:2: executing "" at <eq 1 "a">: error calling eq: incompatible types for comparison"#);
    insta::assert_snapshot!(fail("{{foo}}"), @r#"template parsing error: template: :1: function "foo" not defined"#);
    insta::assert_snapshot!(fail("{{if .Name}}"), @"template parsing error: template: :1: unexpected EOF");
    insta::assert_snapshot!(fail("{{.Name"), @"template parsing error: template: :1: unclosed action");
    insta::assert_snapshot!(fail("{{end}}"), @"template parsing error: template: :1: unexpected {{end}}");
    insta::assert_snapshot!(fail("{{$x}}"), @r#"template parsing error: template: :1: undefined variable "$x""#);
    insta::assert_snapshot!(fail("{{}}"), @"template parsing error: template: :1: missing value for command");
    insta::assert_snapshot!(fail("{{.A | }}"), @"template parsing error: template: :1: missing value for command");
    insta::assert_snapshot!(fail("{{template \"x\"}}"), @r#"template: :1:2: executing "" at <template "x">: template "x" not defined"#);
    insta::assert_snapshot!(fail("{{break}}"), @"template parsing error: template: :1: {{break}} outside {{range}}");
    insta::assert_snapshot!(fail("{{.Name 1}}"), @r#"template: :1:2: executing "" at <.Name>: Name has arguments but cannot be invoked as function"#);
}

#[test]
fn hostile_templates_end() {
    let deep = format!("{}1{}", "(".repeat(10_000), ")".repeat(10_000));
    assert!(matches!(
        Template::parse(&format!("{{{{{deep}}}}}")),
        Err(Error::Parse { .. })
    ));
    let blocks = "{{if 1}}".repeat(10_000);
    assert!(matches!(Template::parse(&blocks), Err(Error::Parse { .. })));
    assert!(
        fail("{{define \"a\"}}{{template \"a\"}}{{end}}{{template \"a\"}}")
            .contains("maximum template depth")
    );
    assert_eq!(show("{{printf \"%99999999d\" 1}}").len(), 4096);
}

#[test]
fn no_input_panics() {
    proptest::proptest!(|(text in "[{}.$a-z0-9\"|() :=%é-]{0,40}")| {
        let _ = Template::parse(&text).and_then(|template| template.render(&data()));
        let _ = Template::parse(&format!("{{{{{text}}}}}")).and_then(|template| template.render(&data()));
        let _ = super::print::printf(&text, &[json!(1), json!("x")]);
    });
}
