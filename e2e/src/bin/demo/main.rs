//! A whole mesh on one machine, no cluster and no root: starts it, walks through it, leaves nothing behind.
//!
//! `demo` runs the tour on the objects of `examples/quickstart`; with `CI=true`, or when the output is no terminal, it
//! ends after the tour with exit status 0 or 1, otherwise it keeps running until Ctrl-C.

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

mod apps;
mod call;
mod processes;
mod tour;

use anyhow::Context;
use mesh_runtime::process::Exit;
use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// What to write instead of a command line that makes no sense.
const USAGE: &str = "usage: demo [DIRECTORY]  (of objects; examples/quickstart by default)";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let examples = match (arguments.next(), arguments.next()) {
        (None, None) => PathBuf::from("examples/quickstart"),
        (Some(folder), None) if Path::new(&folder).is_dir() => folder.into(),
        _ => {
            eprintln!("{USAGE}");
            return Exit::Usage.into();
        }
    };
    // One thread: children end with the thread that started them, and this one lives as long as the process.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = runtime.context("cannot start").and_then(|runtime| {
        let local = tokio::task::LocalSet::new();
        runtime.block_on(local.run_until(run(&examples)))
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\ndemo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(examples: &Path) -> anyhow::Result<()> {
    let stays = std::io::stdout().is_terminal() && std::env::var_os("CI").is_none_or(|ci| ci.is_empty());
    let interrupted = mesh_runtime::process::signals().context("cannot watch for signals")?;
    let work = async {
        let mut mesh = processes::Mesh::start(examples).await?;
        let toured = tour::walk(&mut mesh).await;
        if toured.is_ok() && stays {
            tour::invite(&mesh);
            std::future::pending::<()>().await;
        }
        if let Err(error) = &toured {
            println!("\nThe tour did not end as it should: {error:#}");
            mesh.print_logs();
        }
        mesh.stop().await;
        toured
    };
    tokio::select! {
        ended = work => ended,
        _ = interrupted => {
            println!("\nStopped; nothing is left behind.");
            Ok(())
        }
    }
}
