//! Threads with a runtime each, signals, the panic hook, exit codes.
//!
//! Work is spread over `current_thread` runtimes, one a named thread, so that what belongs to a connection stays on
//! one core and needs no locks; everything that is not traffic lives on an admin thread of the same form.

use std::{fmt, future::Future, io, process::ExitCode, sync::Once, thread};
use tokio::{
    runtime::{Builder, LocalOptions},
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All went well: 0.
    Success,
    /// Something failed while starting or running: 1.
    Failed,
    /// Arguments or settings cannot be used: 64, as `sysexits.h` has it.
    Usage,
}

impl Exit {
    /// The code that the operating system sees.
    pub fn code(self) -> u8 {
        match self {
            Exit::Success => 0,
            Exit::Failed => 1,
            Exit::Usage => 64,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

/// The command line of this process. Help and version are printed and are no failure; a command line that makes no
/// sense is reported on standard error.
///
/// # Errors
/// How the process ends instead: [`Exit::Usage`], or after help [`Exit::Success`] ([`Exit::Failed`] if it cannot be
/// written).
pub fn arguments<T: clap::Parser>() -> Result<T, Exit> {
    T::try_parse().map_err(|error| match error.print() {
        _ if error.use_stderr() => Exit::Usage,
        // Nobody has to read the help to its end.
        Err(unwritten) if unwritten.kind() != io::ErrorKind::BrokenPipe => Exit::Failed,
        _ => Exit::Success,
    })
}

/// A thread that drives one future on a runtime of its own.
#[derive(Debug)]
pub struct Thread {
    name: String,
    done: oneshot::Receiver<()>,
    handle: thread::JoinHandle<()>,
}

/// The thread ended by a panic, or could not build its runtime.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("thread {name} died; the log above has the panic")]
pub struct Died {
    /// The thread's name.
    pub name: String,
}

/// Starts a named thread that runs what `make` returns on a `current_thread` runtime. `make` runs on the new thread,
/// so that its future need not be [`Send`]; tasks may use `spawn_local`.
///
/// # Errors
/// When the operating system gives no thread.
pub fn spawn<F, Fut>(name: &str, make: F) -> io::Result<Thread>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let (tx, done) = oneshot::channel();
    let handle = thread::Builder::new().name(name.to_owned()).spawn(move || {
        let runtime = match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
            Ok(runtime) => runtime,
            Err(error) => {
                tracing::error!(%error, "cannot build the thread's runtime");
                return;
            }
        };
        runtime.block_on(async move { make().await });
        // Not sent when the future panicked: the sender is dropped and the owner sees that.
        let _ = tx.send(());
    })?;
    Ok(Thread { name: name.to_owned(), done, handle })
}

/// Starts `count` workers named `worker-0` and so on; `make` gets the worker's number.
///
/// # Errors
/// When the operating system gives no thread; those already started go on until their future ends.
pub fn workers<F, Fut>(count: usize, make: F) -> io::Result<Vec<Thread>>
where
    F: Fn(usize) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let start = |index: usize| {
        let make = make.clone();
        spawn(&format!("worker-{index}"), move || make(index))
    };
    (0..count).map(start).collect()
}

impl Thread {
    /// The thread's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Waits until the future has ended.
    ///
    /// # Errors
    /// [`Died`] when it panicked.
    pub async fn ended(self) -> Result<(), Died> {
        self.done.await.map_err(|_| Died { name: self.name })
    }

    /// As [`Thread::ended`], for code outside of a runtime.
    ///
    /// # Errors
    /// [`Died`] when it panicked.
    pub fn join(mut self) -> Result<(), Died> {
        let joined = self.handle.join();
        match (joined, self.done.try_recv()) {
            (Ok(()), Ok(())) => Ok(()),
            _ => Err(Died { name: self.name }),
        }
    }
}

/// Which signal asked the process to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// SIGTERM.
    Terminate,
    /// SIGINT, usually Ctrl-C.
    Interrupt,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Asked::Terminate => "SIGTERM",
            Asked::Interrupt => "SIGINT",
        })
    }
}

/// Completes at SIGTERM or SIGINT. The handlers are installed by the call itself, before the future is polled; from
/// then on these signals no longer end the process by themselves.
///
/// # Errors
/// When a handler cannot be installed. Must be called inside a runtime.
pub fn signals() -> io::Result<impl Future<Output = Asked> + Send> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => Asked::Terminate,
            _ = interrupt.recv() => Asked::Interrupt,
        }
    })
}

/// Sends panics to the log, one record each, instead of bare text to standard error. Further calls do nothing.
pub fn log_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|panic| {
            let message = panic.payload_as_str().unwrap_or("a panic without a message");
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            tracing::error!(thread = thread::current().name().unwrap_or("unnamed"), place, "panic: {message}");
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn each_worker_has_a_named_thread_and_may_spawn_locally() {
        let (tx, rx) = mpsc::channel();
        let threads = workers(2, move |index| {
            let tx = tx.clone();
            async move {
                let local = std::rc::Rc::new(index);
                let task = tokio::task::spawn_local(async move { *local });
                let name = thread::current().name().map(str::to_owned);
                tx.send((task.await.unwrap(), name)).unwrap();
            }
        });
        for thread in threads.unwrap() {
            assert_eq!(thread.join(), Ok(()));
        }
        let mut seen: Vec<_> = rx.iter().collect();
        seen.sort();
        assert_eq!(seen, [(0, Some("worker-0".to_owned())), (1, Some("worker-1".to_owned()))]);
    }

    #[tokio::test]
    async fn a_panic_on_a_thread_reaches_its_owner() {
        let thread = spawn("doomed", || async { panic!("on purpose") }).unwrap();
        assert_eq!(thread.ended().await, Err(Died { name: "doomed".to_owned() }));
    }

    #[test]
    fn exit_codes_are_the_documented_ones() {
        assert_eq!([Exit::Success, Exit::Failed, Exit::Usage].map(Exit::code), [0, 1, 64]);
    }
}
