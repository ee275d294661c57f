//! What it costs to see a change in a directory of files, a file for each Service, before anything is made of it.

use super::{
    crowd::{self, PODS},
    measure::{cpu, row},
};
use mesh_pilot::source::{Change, file::watch};
use std::{fs, time::Duration};
use tokio::{sync::mpsc, time::sleep};

/// Changes, one every [`BEAT`].
const TIMES: usize = 100;
const BEAT: Duration = Duration::from_millis(100);
/// After this long a file is no longer taken for one that is being written.
const SETTLED: Duration = Duration::from_secs(4);

pub(super) fn measure(services: usize, rules: usize) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let folder = tempfile::tempdir().expect("a directory");
        let write = |service: usize, ready: usize| {
            let path = folder.path().join(format!("service-{service}.yaml"));
            fs::write(path, crowd::file(service, ready, rules)).expect("it can be written");
        };
        (0..services).for_each(|service| write(service, PODS));
        sleep(SETTLED).await;
        let (sender, mut batches) = mpsc::channel(1);
        tokio::spawn(watch::follow(folder.path().to_owned(), sender));
        let first = batches.recv().await.expect("it follows");
        assert_eq!(first.changes.last(), Some(&Change::Synced));
        sleep(SETTLED).await;
        let mut took = Duration::ZERO;
        for n in 0..TIMES {
            write(n, PODS - 1);
            let before = cpu();
            let batch = batches.recv().await.expect("it follows");
            took += cpu() - before;
            assert!(matches!(&batch.changes[..], [Change::Upsert(..)]), "{}", batch.changes.len());
            sleep(BEAT).await;
        }
        row("one endpoint, seen in files", took.as_secs_f64() * 1e3 / TIMES as f64, "ms", Some(15.0));
    });
}
