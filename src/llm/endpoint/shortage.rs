//! What this machine lacks when a connection cannot be opened and the endpoint has no part in it.

use std::{error::Error, io, net::TcpListener};

/// What there is no more of, in words; `None` when it is the endpoint that cannot be reached.
pub(in crate::llm) fn lacks(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    causes.filter_map(|cause| cause.downcast_ref::<io::Error>()).find_map(lacking)
}

fn lacking(error: &io::Error) -> Option<&'static str> {
    const FILES: &str = "files to open; raise its limit of open files (`ulimit -n`, LimitNOFILE=)";
    const PORTS: &str = "ports to connect from; too many connections are open or were just closed";
    const MEMORY: &str = "memory for a connection";
    match error.kind() {
        io::ErrorKind::OutOfMemory => return Some(MEMORY),
        io::ErrorKind::AddrNotAvailable => return has_ipv6().then_some(PORTS),
        _ => {}
    }
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        match Errno::from_io_error(error) {
            Some(Errno::MFILE | Errno::NFILE) => return Some(FILES),
            Some(Errno::NOMEM | Errno::NOBUFS) => return Some(MEMORY),
            _ => {}
        }
    }
    // Its `source` is that of what it holds.
    error.get_ref().and_then(|inner| lacks(inner))
}

/// Without IPv6 the same error says that the endpoint's address cannot be had on this machine.
fn has_ipv6() -> bool {
    let bound = TcpListener::bind("[::1]:0");
    !bound.is_err_and(|error| error.kind() == io::ErrorKind::AddrNotAvailable)
}

#[cfg(all(test, unix))]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn what_this_machine_lacks_is_no_failure_of_the_endpoint() {
        for (errno, want) in [
            (Errno::MFILE, "files"),
            (Errno::NFILE, "files"),
            (Errno::NOMEM, "memory"),
            (Errno::NOBUFS, "memory"),
            (Errno::CONNREFUSED, ""),
            (Errno::HOSTUNREACH, ""),
            (Errno::CONNRESET, ""),
        ] {
            // As HTTP libraries wrap it.
            let error = io::Error::other(io::Error::from(errno));
            let said = lacks(&error).unwrap_or_default();
            assert!(said.starts_with(want) && said.is_empty() == want.is_empty(), "{errno} {said}");
        }
        let no_port = lacks(&io::Error::from(Errno::ADDRNOTAVAIL));
        assert_eq!(no_port.is_some(), has_ipv6());
    }
}
