use super::*;
use serde_json::json;

fn render(text: &str, data: serde_json::Value) -> Result<String, Error> {
    Template::parse("t", text, &Functions::helm())?.render(&to_value(&data))
}

fn rendered(text: &str) -> String {
    render(text, json!({"name": "cart", "ports": [80, 443], "nested": {"b": 1, "a": "x"}, "none": null})).unwrap()
}

#[test]
fn functions_say_what_helms_say() {
    let cases = [
        (r#"{{ "a.b-" | trunc 3 | trimAll "-." }}"#, "a.b"),
        (r#"{{ .absent.deeper.still | default "x" }}"#, "x"),
        ("{{ toJson .ports }}", "[80,443]"),
        ("{{ toYaml .nested | nindent 2 }}", "\n  a: x\n  b: 1"),
        (r#"{{ list "a" "b" | join "," }}"#, "a,b"),
        (r#"{{ quote "say \"hi\"" }}"#, r#""say \"hi\"""#),
        (r#"{{ $m := dict "a" 1 }}{{ $m = set $m "b" (list 2) }}{{ toJson $m }}"#, r#"{"a":1,"b":[2]}"#),
        (r#"{{ (fromYaml "a: [1, x]").a | toJson }}"#, r#"[1,"x"]"#),
        (
            r#"{{ mustMergeOverwrite (fromJson "{\"a\": 1, \"b\": 1}") (fromJson "{\"a\": null}") | toJson }}"#,
            r#"{"a":null,"b":1}"#,
        ),
        (
            r#"{{ mustMergeOverwrite (dict "a" (dict "x" 1 "y" 1)) (dict "a" (dict "y" 2)) | toJson }}"#,
            r#"{"a":{"x":1,"y":2}}"#,
        ),
        (r#"{{ ternary "yes" "no" (eq 80 (index .ports 0)) }}"#, "yes"),
        (r#"{{ define "in" }}<{{ .name }}>{{ end }}{{ include "in" . | upper }}"#, "<CART>"),
        (r#"{{ splitList "," "a,b" | last }}{{ len (until 3) }}{{ add 1 2 3 }}"#, "b36"),
        (r#"{{ has 443 .ports }} {{ kindIs "map" .nested }} {{ hasKey .nested "z" }}"#, "true true false"),
        (r#"{{ dig "nested" "a" "d" . }}{{ dig "nope" "a" "d" . }}"#, "xd"),
        (r#"{{ "x" | b64enc }}{{ "eA==" | b64dec }}"#, "eA==x"),
    ];
    for (text, expected) in cases {
        assert_eq!(rendered(text), expected, "{text}");
    }
}

#[test]
fn errors_name_template_and_line() {
    let error = render("a\n{{ if }}", json!({})).unwrap_err();
    assert_eq!((error.template.as_str(), error.line), ("t", Some(2)), "{error}");
    let error = render(r#"{{ required "a hub is required" .hub }}"#, json!({})).unwrap_err();
    assert_eq!(error.to_string(), "template t: a hub is required");
    let error = render("{{ nothing }}", json!({})).unwrap_err();
    assert_eq!(error.to_string(), "template t: undefined function: nothing");
}

#[test]
fn what_has_no_end_is_ended() {
    let endless = [
        r#"{{ define "a" }}{{ include "a" . }}{{ end }}{{ include "a" . }}"#,
        r#"{{ range until 100000 }}{{ range until 100000 }}{{ end }}{{ end }}"#,
        r#"{{ repeat 5000000 "x" }}"#,
        r#"{{ range until 5000 }}{{ repeat 1000 "x" }}{{ end }}"#,
        r#"{{ indent 4000000 "a\nb" }}"#,
    ];
    for text in endless {
        assert!(render(text, json!({})).is_err(), "{text}");
    }
}

#[test]
fn a_struct_is_read_by_gos_names_and_written_by_its_own() {
    let original = json!({"containers": [{"name": "app"}]});
    let container = structure([("Name".to_owned(), Value::from("app"))], &json!({"name": "app"}));
    let spec = structure([("Containers".to_owned(), vec![container].into())], &original);
    let data = Value::from_entries([("Spec".to_owned(), spec)]);
    let text = "{{ range .Spec.Containers }}{{ .Name }}{{ end }} {{ toJson .Spec }}";
    let template = Template::parse("t", text, &Functions::helm()).unwrap();
    assert_eq!(template.render(&data).unwrap(), r#"app {"containers":[{"name":"app"}]}"#);
}

#[test]
fn yaml_is_read_and_written_by_meaning() {
    let value = json!({"a": "true", "b": [], "c": {}, "d": "line\nline\n", "e": "0x1f", "f": 1.5, "g": null, "h": "on", "i": "- x", "j": "012", "k": "1e3", "l": "", "m": "a: b", "n": "~", "o": [{"x": [1]}, {}]});
    let text = yaml::write(&value).unwrap();
    assert_eq!(yaml::read(&text).unwrap(), value, "{text}");
    assert_eq!(yaml::read("# nothing\n\n").unwrap(), serde_json::Value::Null);
    assert!(yaml::read("a: [").is_err());
}
