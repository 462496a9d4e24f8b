//! Open files: the process's limit is raised at the start, and clients get only what the log, the index and upstream leave.
//!
//! Without free handles, opening the log, the index or a token file fails, and that looks like damage or like a refused
//! credential. So the number of client connections is limited, and handles are reserved for the service itself.

/// How many handles are kept for the log, the index, upstream and the runtime. Each reading connection of the log takes two,
/// and there are as many as questions at once; a merge of the index opens a dozen files for each segment.
const RESERVED: u64 = 100;

/// The fewest connections that are served, however few handles there are.
const FEWEST: usize = 8;

/// More than this many are not needed.
const ENOUGH: u64 = 65_536;

/// Raises the limit of open files as far as the system allows and is of use. Gives the limit, where there is one.
pub fn raise() -> Option<u64> {
    #[cfg(unix)]
    {
        use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
        let (current, most) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
        let wanted = most.min(ENOUGH);
        let is_raised =
            current < wanted && setrlimit(Resource::RLIMIT_NOFILE, wanted, most).is_ok();
        let limit = if is_raised { wanted } else { current };
        (limit != RLIM_INFINITY).then_some(limit)
    }
    #[cfg(not(unix))]
    None
}

/// How many connections there may be where `limit` files may be open, of at most `wanted`.
#[must_use]
pub fn connections(limit: Option<u64>, wanted: usize) -> usize {
    let Some(limit) = limit else { return wanted };
    let left = usize::try_from(limit.saturating_sub(RESERVED)).unwrap_or(usize::MAX);
    wanted.min(left.max(FEWEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_get_what_the_others_leave() {
        assert_eq!(connections(None, 512), 512);
        assert_eq!(connections(Some(1_024), 512), 512);
        assert_eq!(connections(Some(150), 512), 50);
        assert_eq!(connections(Some(64), 512), FEWEST);
        assert_eq!(connections(Some(64), 4), 4);
    }

    #[test]
    fn the_limit_is_never_lowered() {
        let before = raise();
        assert_eq!(raise(), before);
    }
}
