//! The durable steps of the log: each is one transaction.

use crate::durable;

durable::steps! {
    /// Sources are written down.
    SAVE_SOURCES = "store.save_sources";
    /// An organization's members are written down.
    SAVE_MEMBERS = "store.save_members";
    /// A window is opened.
    BEGIN_WINDOW = "store.begin_window";
    /// A window's scan starts over, or is given up.
    RESTART_WINDOW = "store.restart_window";
    /// A page is kept: its new events, the window's cursor and counts.
    APPEND_PAGE = "store.append_page";
    /// Old sealed windows are merged.
    FOLD_LEDGER = "store.fold_ledger";
    /// Entries from a file are kept.
    APPEND_IMPORT = "store.append_import";
    /// A credential's spent budget and wait are written down.
    SAVE_QUOTA = "store.save_quota";
    /// A trained dictionary is written down.
    SAVE_DICTIONARY = "store.save_dictionary";
    /// How far the log is checked, and which events are damaged, is written down.
    SAVE_SCRUB = "store.save_scrub";
    /// A follower's effect and checkpoint are written down.
    ADVANCE_FOLLOWER = "store.advance_follower";
    /// What the service noticed about its sources and this log is written down.
    SAVE_NOTICES = "store.save_notices";
    /// A checkpoint of a transparency log is written down, before it is shown.
    SHOW_CHECKPOINT = "store.show_checkpoint";
    /// Statements about the days of a source are written down.
    ADD_STATEMENTS = "store.add_statements";
    /// A checkpoint that witnesses have signed is written down.
    SAVE_COSIGNED = "store.save_cosigned";
    /// The rules in use are written down.
    USE_RULES = "store.use_rules";
    /// What rules found in some events is written down, with how far they have come.
    JUDGE = "store.judge";
    /// A part of what an earlier version of a rule left is removed.
    DROP_OLD_RULE = "store.drop_old_rule";
    /// A person's change of an alert is written down.
    UPDATE_ALERT = "store.update_alert";
    /// A restored copy becomes a log of its own.
    RENAME_LOG = "store.rename_log";
    /// The body of a damaged event is put back, or its document is made again.
    REPAIR_BODY = "store.repair_body";
    /// Bodies are erased.
    ERASE = "store.erase";
    /// It is written down that the index has no documents of erased events any more.
    FORGET_ERASED = "store.forget_erased";
    /// Bodies are compressed with another dictionary.
    RECOMPRESS = "store.recompress";
    /// A dictionary that has parts of erased bodies is deleted.
    DROP_DICTIONARY = "store.drop_dictionary";
    /// Rows are written again, close to each other.
    COMPACT = "store.compact";
    /// The file is made shorter.
    SHRINK = "store.shrink";
    /// The whole file is rewritten.
    REWRITE = "store.rewrite";
    /// A hold is written down.
    CREATE_HOLD = "store.create_hold";
    /// The release of a hold is written down.
    RELEASE_HOLD = "store.release_hold";
    /// The destinations of the configuration are written down.
    SAVE_DESTINATIONS = "store.save_destinations";
    /// A message is put into the outbox.
    ENQUEUE_MESSAGE = "store.enqueue_message";
    /// It is decided which message a destination gets next, and the attempt is counted.
    BEGIN_DELIVERY = "store.begin_delivery";
    /// How an attempt to deliver a message ended is written down.
    SAVE_DELIVERY = "store.save_delivery";
    /// Messages that were given up are put back into their queue.
    REPLAY = "store.replay";
    /// What became of old messages is forgotten.
    FORGET_DELIVERIES = "store.forget_deliveries";
}
