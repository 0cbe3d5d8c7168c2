//! What is kept of each entry until it is stored, packed tightly: a roster of 180,000 entries takes a few megabytes.

use outdial_core::RosterEntry;
use outdial_store::EntryRow;

/// Text of one chunk. Chunks are never grown, so nothing is ever copied.
const CHUNK_BYTES: usize = 512 * 1024;
/// Bits of a place that count rows inside a chunk: a row has two bytes of text at least.
const ROW_BITS: u32 = 18;
/// Most entries given out at once, as the store takes them.
const BATCH: usize = 5_000;

struct Chunk {
    text: String,
    rows: Vec<Row>,
}

#[derive(Clone, Copy)]
struct Row {
    start: u32,
    id: u16,
    number: u16,
    customer: u16,
    part: u32,
}

/// Entries, packed.
#[derive(Default)]
pub struct EntryArena {
    chunks: Vec<Chunk>,
}

impl EntryArena {
    /// Keeps an entry. Fields are shorter than 64 KiB, which the intake has checked. Answers its place.
    pub fn push(&mut self, entry: &RosterEntry<'_>, part: usize) -> u32 {
        let customer = entry.customer_id.unwrap_or_default();
        let length = entry.entry_id.len() + entry.number.len() + customer.len();
        let full = self.chunks.last().is_none_or(|chunk| chunk.text.len() + length > CHUNK_BYTES);
        if full {
            let text = String::with_capacity(CHUNK_BYTES.max(length));
            self.chunks.push(Chunk { text, rows: Vec::new() });
        }
        let at = self.chunks.len() - 1;
        let chunk = &mut self.chunks[at];
        let row = Row {
            start: as_u32(chunk.text.len()),
            id: short(entry.entry_id),
            number: short(entry.number),
            customer: short(customer),
            part: as_u32(part),
        };
        for field in [entry.entry_id, entry.number, customer] {
            chunk.text.push_str(field);
        }
        chunk.rows.push(row);
        as_u32(at) << ROW_BITS | as_u32(chunk.rows.len() - 1)
    }

    /// The id of the entry at a place.
    pub fn entry_id(&self, place: u32) -> &str {
        let (chunk_at, row_at) = (place >> ROW_BITS, place & ((1 << ROW_BITS) - 1));
        let chunk = usize::try_from(chunk_at).ok().and_then(|at| self.chunks.get(at));
        let row = usize::try_from(row_at).ok().zip(chunk).and_then(|(at, chunk)| chunk.rows.get(at));
        chunk.zip(row).map_or("", |(chunk, row)| cut(&chunk.text, row.start, row.id))
    }

    /// The entries in batches that the store takes, each with the number of its part, from 0. What was given out is freed.
    pub fn into_batches(self) -> impl Iterator<Item = (u32, Vec<EntryRow>)> {
        self.chunks.into_iter().flat_map(Chunk::into_batches)
    }
}

impl Chunk {
    fn into_batches(mut self) -> impl Iterator<Item = (u32, Vec<EntryRow>)> {
        self.rows.sort_by_key(|row| row.part);
        let mut given = 0;
        std::iter::from_fn(move || {
            let rest = &self.rows[given..];
            let part = rest.first()?.part;
            let count = rest.iter().take(BATCH).take_while(|row| row.part == part).count();
            let batch = rest[..count].iter().map(|row| entry_row(&self.text, row)).collect();
            given += count;
            Some((part, batch))
        })
    }
}

fn entry_row(text: &str, row: &Row) -> EntryRow {
    let number_start = row.start + u32::from(row.id);
    let customer = cut(text, number_start + u32::from(row.number), row.customer);
    EntryRow {
        entry_id: cut(text, row.start, row.id).to_owned(),
        number: cut(text, number_start, row.number).to_owned(),
        customer_id: (!customer.is_empty()).then(|| customer.to_owned()),
    }
}

fn cut(text: &str, start: u32, length: u16) -> &str {
    let start = usize::try_from(start).unwrap_or(usize::MAX);
    text.get(start..start.saturating_add(usize::from(length))).unwrap_or_default()
}

fn short(text: &str) -> u16 {
    u16::try_from(text.len()).unwrap_or(u16::MAX)
}

fn as_u32(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_back_what_it_was_given_by_part() {
        let mut arena = EntryArena::default();
        let mut places = Vec::new();
        for n in 0..60_000 {
            let (id, number, customer) = (format!("entry-{n}"), format!("139{n:08}"), format!("c{n}"));
            let customer_id = (n % 2 == 0).then_some(customer.as_str());
            let entry = RosterEntry { entry_id: &id, number: &number, customer_id, ..RosterEntry::default() };
            places.push(arena.push(&entry, n % 3));
        }
        assert_eq!(arena.entry_id(places[59_999]), "entry-59999");
        let mut seen = 0;
        for (part, rows) in arena.into_batches() {
            assert!(rows.len() <= BATCH);
            for row in rows {
                let n: usize = row.entry_id["entry-".len()..].parse().unwrap();
                assert_eq!(usize::try_from(part).unwrap(), n % 3);
                assert_eq!(row.number, format!("139{n:08}"));
                assert_eq!(row.customer_id, n.is_multiple_of(2).then(|| format!("c{n}")));
                seen += 1;
            }
        }
        assert_eq!(seen, 60_000);
    }
}
