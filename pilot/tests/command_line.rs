//! How a command line ends that makes no sense: 64 and a reason on standard error; help is no failure.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::process::Command;

fn ends(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_pilot")).args(arguments).env_clear().output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_command_line_that_makes_no_sense_ends_with_64() {
    for (arguments, reason) in [
        (&["--bogus"][..], "--bogus"),
        (&["discovery", "--config-dir", "d"], "--token-key"),
        (&["discovery", "--config-dir", "d", "--token-key", "k", "--log", "inof"], "inof"),
        (&["discovery", "--config-dir", "d", "--token-key", "k", "--drain", "soon"], "soon"),
        (&["token", "--key", "k", "--namespace", "a", "--service-account", "b", "--ttl", "0s"], "0s"),
    ] {
        let (code, said) = ends(arguments);
        assert_eq!(code, 64, "{arguments:?}: {said}");
        assert!(said.contains(reason), "{arguments:?}: {said}");
    }
    assert_eq!(ends(&["--help"]), (0, String::new()));
}
