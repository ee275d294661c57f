//! Whether anybody else in the pod still has connections. Containers of a pod share their network and nothing else, so that
//! is how a proxy learns that the application beside it has ended.

use std::{collections::HashSet, fs};

/// What the kernel calls a socket that dials, carries, was closed by its peer alone, or listens.
const OPEN: [&str; 4] = ["02", "01", "08", "0A"];

/// Whether a process other than this one has a TCP socket that is open. What cannot be read counts as open.
pub fn others() -> bool {
    let Some(own) = own() else { return true };
    ["/proc/self/net/tcp", "/proc/self/net/tcp6"].iter().any(|table| match fs::read_to_string(table) {
        Ok(table) => is_open_to_others(&table, &own),
        // Without version 6 of IP there is no such table.
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    })
}

/// The sockets of this process.
fn own() -> Option<HashSet<u64>> {
    let links = fs::read_dir("/proc/self/fd").ok()?;
    let socket = |link: fs::DirEntry| {
        let target = fs::read_link(link.path()).ok()?;
        target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    };
    Some(links.flatten().filter_map(socket).collect())
}

fn is_open_to_others(table: &str, own: &HashSet<u64>) -> bool {
    table.lines().skip(1).any(|line| {
        let mut columns = line.split_ascii_whitespace();
        let (Some(state), Some(inode)) = (columns.nth(3), columns.nth(5)) else { return false };
        // One that belongs to no process, such as a closed one that waits for its last packets, has no number.
        OPEN.contains(&state) && inode.parse().is_ok_and(|inode| inode != 0 && !own.contains(&inode))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{net::TcpListener, os::fd::AsRawFd};

    const HEAD: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    fn line(state: &str, inode: u64) -> String {
        let rest = "00000000:00000000 00:00000000 00000000  1337        0";
        format!("   0: 0100007F:1F90 00000000:0000 {state} {rest} {inode} 1 0000000000000000 100 0 0 10 0\n")
    }

    #[test]
    fn an_open_socket_of_somebody_else_is_seen_and_nothing_else() {
        let own = HashSet::from([7]);
        for (state, inode, seen) in [
            ("0A", 8, true),
            ("01", 8, true),
            ("02", 8, true),
            ("08", 8, true),
            ("06", 8, false),
            ("0A", 7, false),
            ("01", 0, false),
        ] {
            let table = format!("{HEAD}{}{}", line("0A", 7), line(state, inode));
            assert_eq!(is_open_to_others(&table, &own), seen, "{state} {inode}");
        }
        assert!(!is_open_to_others(HEAD, &own));
    }

    #[test]
    fn a_socket_of_this_process_is_its_own() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let link = fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd())).unwrap();
        let inode = link.to_str().unwrap().trim_start_matches("socket:[").trim_end_matches(']').parse().unwrap();
        assert!(own().unwrap().contains(&inode));
    }
}
