//! The scripts that Redis runs in one step.

use redis::{Script, ScriptInvocation};

use super::keys::Keys;

/// The scripts, with their hashes.
pub(super) struct Scripts {
    pub(super) append: Script,
    pub(super) bounds: Script,
    pub(super) trim: Script,
    pub(super) page: Script,
    pub(super) expire_records: Script,
    pub(super) put_suspect: Script,
    pub(super) drop_item: Script,
    pub(super) expire_items: Script,
    pub(super) put_roster: Script,
    pub(super) put_entries: Script,
    pub(super) remove_entries: Script,
    pub(super) expire_rosters: Script,
    pub(super) withhold_entries: Script,
    pub(super) restore_entries: Script,
    pub(super) entry_outcomes: Script,
    pub(super) put_body_chunk: Script,
    pub(super) remove_body: Script,
    pub(super) expire_bodies: Script,
    pub(super) compare_and_set: Script,
    pub(super) acquire_lease: Script,
    pub(super) keep_lease: Script,
    pub(super) create_subscription: Script,
    pub(super) replace_subscription: Script,
    pub(super) delete_subscription: Script,
    pub(super) commit_deliveries: Script,
    pub(super) list_deliveries: Script,
    pub(super) redrive_deliveries: Script,
    pub(super) expire_deliveries: Script,
    pub(super) take_turn: Script,
}

macro_rules! script {
    ($file:literal) => {
        Script::new(concat!(include_str!("lua/shared.lua"), include_str!(concat!("lua/", $file))))
    };
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            append: script!("append.lua"),
            bounds: script!("bounds.lua"),
            trim: script!("trim.lua"),
            page: script!("page.lua"),
            expire_records: script!("expire_records.lua"),
            put_suspect: script!("put_suspect.lua"),
            drop_item: script!("drop_item.lua"),
            expire_items: script!("expire_items.lua"),
            put_roster: script!("put_roster.lua"),
            put_entries: script!("put_entries.lua"),
            remove_entries: script!("remove_entries.lua"),
            expire_rosters: script!("expire_rosters.lua"),
            withhold_entries: script!("withhold_entries.lua"),
            restore_entries: script!("restore_entries.lua"),
            entry_outcomes: script!("entry_outcomes.lua"),
            put_body_chunk: script!("put_body_chunk.lua"),
            remove_body: script!("remove_body.lua"),
            expire_bodies: script!("expire_bodies.lua"),
            compare_and_set: script!("compare_and_set.lua"),
            acquire_lease: script!("acquire_lease.lua"),
            keep_lease: script!("keep_lease.lua"),
            create_subscription: script!("create_subscription.lua"),
            replace_subscription: script!("replace_subscription.lua"),
            delete_subscription: script!("delete_subscription.lua"),
            commit_deliveries: script!("commit_deliveries.lua"),
            list_deliveries: script!("list_deliveries.lua"),
            redrive_deliveries: script!("redrive_deliveries.lua"),
            expire_deliveries: script!("expire_deliveries.lua"),
            take_turn: script!("take_turn.lua"),
        }
    }
}

/// A call of a script for a store's keys; the arguments follow.
pub(super) fn call<'a>(script: &'a Script, keys: &Keys) -> ScriptInvocation<'a> {
    script.key(keys.prefix())
}
