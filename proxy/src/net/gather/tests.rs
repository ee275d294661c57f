use super::*;
use std::{collections::VecDeque, task::Waker};
use tokio::io::AsyncWriteExt;

/// What a socket would see: each write by itself. Takes `room` bytes, then none.
#[derive(Default)]
struct Socket {
    writes: Vec<Vec<u8>>,
    flushes: usize,
    room: VecDeque<usize>,
    broken: bool,
    shut: bool,
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.broken {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let n = match self.room.pop_front() {
            Some(0) => return Poll::Pending,
            Some(room) => room.min(bytes.len()),
            None => bytes.len(),
        };
        self.writes.push(bytes[..n].to_vec());
        Poll::Ready(Ok(n))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flushes += 1;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shut = true;
        Poll::Ready(Ok(()))
    }
}

struct Bench {
    gather: Gather<Socket>,
    turn: Turn<Socket>,
}

impl Bench {
    fn over(socket: Socket) -> Self {
        let (gather, turn) = Gather::new(socket);
        Bench { gather, turn }
    }

    fn taking(room: impl Into<VecDeque<usize>>) -> Self {
        Bench::over(Socket { room: room.into(), ..Socket::default() })
    }

    fn write(&mut self, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.gather).poll_write(&mut Context::from_waker(Waker::noop()), bytes)
    }

    fn flush(&mut self) -> Poll<io::Result<()>> {
        Pin::new(&mut self.gather).poll_flush(&mut Context::from_waker(Waker::noop()))
    }

    fn end(&self) {
        self.turn.end(&mut Context::from_waker(Waker::noop()), false);
    }

    /// The writer's task was woken and has nothing new to say, but others may.
    fn flush_and_wait(&mut self) {
        assert!(matches!(self.flush(), Poll::Ready(Ok(()))));
        self.turn.end(&mut Context::from_waker(Waker::noop()), true);
    }

    fn writes(&self) -> Vec<String> {
        let held = self.gather.0.borrow();
        held.io.writes.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }

    fn held(&self) -> usize {
        self.gather.0.borrow().bytes.capacity()
    }
}

fn wrote(poll: Poll<io::Result<usize>>) -> usize {
    match poll {
        Poll::Ready(Ok(n)) => n,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_written_in_one_turn_leaves_in_one_write() {
    let mut bench = Bench::over(Socket::default());
    for part in ["one ", "two ", "three"] {
        assert_eq!(wrote(bench.write(part.as_bytes())), part.len());
        assert!(matches!(bench.flush(), Poll::Ready(Ok(()))));
    }
    assert_eq!(bench.writes(), Vec::<String>::new());
    bench.end();
    assert_eq!(bench.writes(), ["one two three"]);
    bench.end();
    assert_eq!(bench.gather.0.borrow().io.flushes, 1, "a turn without bytes costs nothing");
}

#[test]
fn a_connection_that_waits_holds_no_buffer() {
    let mut bench = Bench::over(Socket::default());
    assert_eq!(wrote(bench.write(b"some")), 4);
    assert!(bench.held() > 0);
    bench.end();
    assert_eq!(bench.held(), 0);
}

#[test]
fn the_buffer_is_bounded_and_what_exceeds_it_goes_through() {
    let mut bench = Bench::over(Socket::default());
    let large = vec![b'x'; MOST];
    assert_eq!(wrote(bench.write(b"head")), 4);
    assert_eq!(wrote(bench.write(&large)), MOST, "the head left first");
    assert_eq!(bench.writes(), ["head"]);
    assert_eq!(wrote(bench.write(&vec![b'y'; MOST + 1])), MOST + 1);
    assert_eq!(bench.writes().iter().map(String::len).collect::<Vec<_>>(), [4, MOST, MOST + 1]);
}

#[test]
fn a_peer_that_takes_no_more_holds_the_writer_up() {
    let mut bench = Bench::taking([2, 0, 0, 0]);
    assert_eq!(wrote(bench.write(b"head")), 4);
    bench.end();
    assert_eq!(bench.writes(), ["he"]);
    assert!(bench.write(&vec![b'x'; MOST]).is_pending(), "there is no room");
    bench.end();
    assert!(matches!(bench.flush(), Poll::Ready(Ok(()))));
    assert_eq!(bench.writes(), ["he"], "nothing was tried again before the turn's end");
    bench.end();
    assert_eq!(bench.writes(), ["he", "ad"], "a woken writer flushes");
}

#[test]
fn polls_of_others_do_not_try_again() {
    let mut bench = Bench::taking([0]);
    assert_eq!(wrote(bench.write(b"some")), 4);
    bench.end();
    // Not the writer's task: its waker must stay the one that the socket knows.
    bench.end();
    assert_eq!(bench.writes(), Vec::<String>::new());
    assert!(matches!(bench.flush(), Poll::Ready(Ok(()))));
    bench.end();
    assert_eq!(bench.writes(), ["some"]);
}

#[test]
fn an_error_at_the_end_of_a_turn_is_told_to_the_writer() {
    let mut bench = Bench::over(Socket { broken: true, ..Socket::default() });
    assert_eq!(wrote(bench.write(b"some")), 4);
    bench.end();
    assert!(matches!(bench.flush(), Poll::Ready(Err(e)) if e.kind() == io::ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn a_shutdown_comes_after_what_was_held() {
    let (mut gather, turn) = Gather::new(Socket::default());
    gather.write_all(b"goaway").await.unwrap();
    gather.shutdown().await.unwrap();
    let held = turn.0.borrow();
    assert_eq!((held.io.writes.as_slice(), held.io.shut), (&[b"goaway".to_vec()][..], true));
}

#[tokio::test]
async fn each_poll_of_a_future_is_a_turn() {
    let (mut gather, turn) = Gather::new(Socket::default());
    let work = async move {
        for part in [&b"a"[..], b"b"] {
            gather.write_all(part).await.unwrap();
        }
        tokio::task::yield_now().await;
        gather.write_all(b"c").await.unwrap();
    };
    Turns::new(work, turn.clone(), Rc::default()).await;
    assert_eq!(turn.0.borrow().io.writes, [b"ab".to_vec(), b"c".to_vec()]);
}

#[test]
fn where_more_may_come_others_have_their_turn_first() {
    let mut bench = Bench::over(Socket::default());
    assert_eq!(wrote(bench.write(b"one ")), 4);
    bench.flush_and_wait();
    assert_eq!(wrote(bench.write(b"two")), 3);
    bench.flush_and_wait();
    assert_eq!(bench.writes(), Vec::<String>::new());
    bench.flush_and_wait();
    assert_eq!(bench.writes(), ["one two"], "but not for ever");
    assert_eq!(bench.held(), 0);
}

#[test]
fn the_last_of_several_requests_waits_for_nobody() {
    let mut bench = Bench::over(Socket::default());
    assert_eq!(wrote(bench.write(b"one ")), 4);
    bench.flush_and_wait();
    assert_eq!(wrote(bench.write(b"two")), 3);
    bench.end();
    assert_eq!(bench.writes(), ["one two"]);
}

#[test]
fn a_records_worth_of_bytes_waits_for_nobody() {
    let mut bench = Bench::over(Socket::default());
    let body = vec![b'x'; ENOUGH];
    assert_eq!(wrote(bench.write(&body)), ENOUGH);
    bench.flush_and_wait();
    assert_eq!(bench.writes().iter().map(String::len).collect::<Vec<_>>(), [ENOUGH]);
}

#[test]
fn what_a_slow_peer_left_over_is_tried_at_once() {
    let mut bench = Bench::taking([2, 0]);
    assert_eq!(wrote(bench.write(b"head")), 4);
    bench.end();
    bench.flush_and_wait();
    assert_eq!(bench.writes(), ["he", "ad"]);
}

/// Writes one part at once, the other when it is told.
async fn two_parts(mut gather: Gather<Socket>, told: tokio::sync::oneshot::Receiver<()>) {
    gather.write_all(b"one ").await.unwrap();
    gather.flush().await.unwrap();
    told.await.unwrap();
    gather.write_all(b"two").await.unwrap();
}

#[tokio::test]
async fn answers_that_are_ready_together_leave_in_one_write() {
    for (streams, writes) in [(1, vec![b"one ".to_vec(), b"two".to_vec()]), (2, vec![b"one two".to_vec()])] {
        let local = tokio::task::LocalSet::new();
        let (gather, turn) = Gather::new(Socket::default());
        let (tell, told) = tokio::sync::oneshot::channel();
        let work = Turns::new(two_parts(gather, told), turn.clone(), Rc::new(Cell::new(streams)));
        let carried = local.spawn_local(work);
        local.spawn_local(async move { tell.send(()).unwrap() });
        local.await;
        carried.await.unwrap();
        assert_eq!(turn.0.borrow().io.writes, writes, "{streams} streams");
    }
}
