//! The thread that appends buffers of lines to files.

use std::{
    collections::HashMap,
    fs::OpenOptions,
    io::Write as _,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
};

/// Buffers that may wait for the writer.
const QUEUE: usize = 64;

/// One buffer for one file.
type Batch = (Arc<str>, Vec<u8>);

/// Appends buffers to files, on a thread of its own.
#[derive(Debug, Clone)]
pub struct Writer {
    queue: SyncSender<Batch>,
}

impl Writer {
    /// Starts the thread; it ends when the last clone is dropped and everything is written.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start() -> std::io::Result<(Self, std::thread::JoinHandle<()>)> {
        let (queue, batches) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new().name("access-log".into()).spawn(move || write_all(&batches))?;
        Ok((Writer { queue }, thread))
    }

    /// Hands lines over; `false`: the writer is behind, and they are lost.
    pub(super) fn append(&self, file: &Arc<str>, lines: Vec<u8>) -> bool {
        self.queue.try_send((file.clone(), lines)).is_ok()
    }
}

fn write_all(batches: &Receiver<Batch>) {
    let mut files: HashMap<Arc<str>, Option<std::fs::File>> = HashMap::new();
    for (path, bytes) in batches {
        let written = match &*path {
            "/dev/stdout" => std::io::stdout().write_all(&bytes),
            "/dev/stderr" => std::io::stderr().write_all(&bytes),
            _ => match files.entry(path.clone()).or_insert_with(|| open(&path)) {
                Some(file) => file.write_all(&bytes),
                None => Ok(()),
            },
        };
        if let Err(error) = written {
            tracing::warn!(%path, %error, "access log lines are lost");
        }
    }
}

fn open(path: &str) -> Option<std::fs::File> {
    let opened = OpenOptions::new().create(true).append(true).open(path);
    opened.inspect_err(|error| tracing::error!(%path, %error, "cannot open the access log: nothing is written")).ok()
}
