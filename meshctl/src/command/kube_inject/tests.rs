use super::*;
use std::io::Write as _;

fn injected(text: &str, set: &[&str]) -> Result<Injected> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let args = KubeInjectArgs {
        filename: Some(file.path().to_owned()),
        set: set.iter().map(|s| (*s).to_owned()).collect(),
        ..KubeInjectArgs::default()
    };
    run(&args, "istio-system")
}

const JOB: &str = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: once}\nspec:\n  template:\n    spec:\n      containers: [{name: once, image: once}]\n";

#[test]
fn documents_without_pods_stay_as_they_were_written() {
    let service = "apiVersion: v1 # as it is\nkind: Service\nmetadata: {name: cart}\n";
    let injected = injected(&format!("{service}---\n# nothing\n---\n{JOB}"), &[]).unwrap();
    let documents: Vec<_> = injected.out.split("---\n").collect();
    assert_eq!(documents[0], service);
    assert_eq!(documents[1], "# nothing\n");
    assert!(documents[2].contains("name: istio-proxy"), "{}", injected.out);
    assert_eq!(documents[3], "");
}

#[test]
fn what_is_not_injected_is_said() {
    let job = JOB.replace("spec:\n      containers", "spec:\n      hostNetwork: true\n      containers");
    let injected = injected(&job, &[]).unwrap();
    assert_eq!(
        injected.notes,
        "\n===> Skipping injection because Job \"/once\" has host networking enabled (it has host networking enabled)\n"
    );
    assert!(!injected.out.contains("istio-proxy"));
}

#[test]
fn settings_that_do_not_bear_on_injection_are_refused() {
    for setting in ["values", "components.pilot.enabled=true", "values.global.x[0]=1"] {
        assert!(injected(JOB, &[setting]).is_err(), "{setting}");
    }
    let injected = injected(JOB, &["values.global.hub=example.com", "tag=1"]).unwrap();
    assert!(injected.out.contains("example.com/proxy:1"), "{}", injected.out);
}
