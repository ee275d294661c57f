//! `echo`: answers, calls, and holds namespaces, in pods of tests.

use clap::{Parser, Subcommand};
use mesh_images::echo::{
    end, pause,
    serve::Serve,
    steady::Steady,
    tally::{Client, Output},
};
use std::{ffi::OsString, process::ExitCode};

/// Answers and calls on every protocol, for tests
#[derive(Parser)]
#[command(name = "echo", version)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Answers, and says who it is and what it got (the default)
    Serve(Box<Serve>),
    /// Calls; ends with 1 when a call fails
    Client(Box<Client>),
    /// Opens calls at a steady rate for some time; ends with 1 when a call fails
    Steady(Box<Steady>),
    /// Waits to be ended
    Pause,
    /// Asks the first process of this container to end, as a kubelet does; the pod stays, and its logs
    End,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let done = match command() {
        What::Serve(serve) => serve.run().await.map(|()| true),
        What::Client(client) => client.run().await,
        What::Steady(steady) => steady.run().await,
        What::Pause => pause::run().await.map(|()| true),
        What::End => end::run().map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            complain(&format!("{e:#}"));
            ExitCode::from(2)
        }
    }
}

/// What to do. Without a verb it serves; called `client`, it is one that prints what suites from outside read.
fn command() -> What {
    let mut words: Vec<OsString> = std::env::args_os().collect();
    let called = words.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
    if called.rsplit('/').next() == Some("client") {
        words.insert(1, "client".into());
        let mut what = Arguments::parse_from(words).what;
        if let What::Client(client) = &mut what {
            client.output = Output::Conformance;
        }
        return what;
    }
    let helps = ["--help", "-h", "--version", "-V"];
    if words.get(1).is_none_or(|word| word.to_string_lossy().starts_with('-') && !helps.iter().any(|help| word == help))
    {
        words.insert(1, "serve".into());
    }
    Arguments::parse_from(words).what
}

#[expect(clippy::print_stderr, reason = "the last words of a program")]
fn complain(line: &str) {
    eprintln!("echo: {line}");
}
