//! How the proxy ends: as SIGTERM asks for, or a page; after the application beside it, where there is one.

use super::Proxy;
use crate::beside::sockets;
use mesh_runtime::clock;
use std::{future::Future, time::Duration};

/// Beyond the drain's time, this long for connections that still have something to finish.
const GRACE: Duration = Duration::from_secs(5);
/// How often it is looked whether the application has ended.
const LOOK: Duration = Duration::from_millis(500);
/// It has, when nobody else had a connection so many times in turn.
const LOOKS: u32 = 3;

/// What a page has asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Asked {
    #[default]
    Nothing,
    /// To begin the drain, and to go on serving.
    Drain,
    /// To end at once.
    Quit,
}

impl Proxy {
    /// Serves until `told` completes, and drains then. A page may begin the drain earlier, or end everything at once.
    pub async fn serve_until(mut self, told: impl Future<Output = ()>) {
        let mut asked = self.common.asked.subscribe();
        tokio::pin!(told);
        loop {
            tokio::select! {
                biased;
                () = &mut told => return self.drain().await,
                // The sender is ours.
                _ = asked.changed() => {}
            }
            let order = *asked.borrow_and_update();
            match order {
                Asked::Nothing => {}
                Asked::Drain => self.begin_drain(),
                Asked::Quit => return self.quit().await,
            }
        }
    }

    /// Readiness fails and connections are asked to close; everything is still served.
    fn begin_drain(&mut self) {
        if self.draining.is_none() {
            self.draining = Some(clock::now());
            self.common.ready.fail_for_drain();
            self.closing.begin();
        }
    }

    /// As on SIGTERM: readiness fails, connections are asked to close, new ones are still served for the drain's
    /// time (peers need it to learn), then requests in flight may finish, bounded. The application beside the proxy is
    /// carried until it has ended: the kubelet's grace period is the bound. Returns when all is done.
    pub async fn drain(mut self) {
        self.begin_drain();
        let pod = self.common.settings.pod.clone();
        let begun = self.draining.unwrap_or_else(clock::now);
        let time = match (pod.native, pod.exit_when_idle) {
            // The application has ended before.
            (true, _) => Duration::ZERO,
            (false, Some(minimum)) => minimum,
            (false, None) => self.common.settings.drain.unwrap_or(*self.common.drain_time.get()),
        };
        tokio::time::sleep_until(begun + time).await;
        if pod.exit_when_idle.is_some() && !pod.native {
            while self.common.limit.open() > 0 {
                tokio::time::sleep(LOOK).await;
            }
        }
        // The application may need others to answer what has arrived: its way out stays open until that is done.
        let arrived = self.arriving.drain(GRACE);
        let beside = pod.application && !pod.native;
        let closed = if beside {
            let _ = arrived.await;
            application_ended().await;
            self.closing.drain(GRACE)
        } else {
            let closed = self.closing.drain(GRACE);
            let _ = arrived.await;
            closed
        };
        let ended = self.ending.drain(GRACE);
        let _ = closed.await;
        let _ = ended.await;
        for thread in self.threads {
            let _ = thread.ended().await;
        }
        drop(self.common);
        // The last sender went with the threads: everything is written when the writer ends.
        let writer = self.writer;
        let _ = tokio::task::spawn_blocking(move || writer.join()).await;
    }

    /// Ends at once; only pages may finish their answers, one of which says that it ends.
    async fn quit(self) {
        drop((self.closing, self.arriving));
        let _ = self.ending.drain(GRACE).await;
        for thread in self.threads {
            let _ = thread.ended().await;
        }
    }

    /// Ends at once, as if the process had been killed: connections are dropped, nothing is drained.
    pub fn kill(self) {
        drop(self.closing);
        drop(self.arriving);
        drop(self.ending);
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

/// Completes when nobody else in the pod has had a connection for a while.
async fn application_ended() {
    let mut quiet = 0;
    while quiet < LOOKS {
        quiet = if sockets::others() { 0 } else { quiet + 1 };
        tokio::time::sleep(LOOK).await;
    }
}
