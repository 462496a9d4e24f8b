//! A stretch of a source's log, read again now, beside what is held of it: a check of the log against upstream.
//!
//! Nothing is kept of what is read, and no window claims it. What is remembered of an entry are two short hashes, so that the
//! largest stretch needs less than a hundred megabytes. Upstream is asked for a second more at both ends; of entries with a time only
//! those within the stretch are compared. An entry without a readable time counts where upstream shows it: whoever sealed the
//! stretch was shown it too. The other way round it is not known to which stretch such an entry belongs, so one that is held is
//! never missed.
//!
//! A refused cursor cuts the stretch in two; what was read before stays compared. So do a page that is too large and an answer
//! that stays unreadable or an error: the second that causes it is left out, and named with the cause.

mod compare;
mod comparison;
mod error;
mod reader;
mod repair;
mod run;

pub use self::comparison::{Difference, Differs, LeftOut, UpstreamComparison};
pub use self::error::{VerifyError, WaitToRetry};
pub use self::repair::Repair;
pub use self::run::{Verify, VerifyEvent};
