//! Record batches as bytes: where one ends and the next begins, and no more.

use bytes::{Buf, Bytes, BytesMut};

use super::What;

/// Spoils fetched records; `None` where there is nothing to do it to.
pub(super) fn spoil(records: &Bytes, what: What) -> Option<Bytes> {
    let batches = batches(records);
    let first = batches.first()?;
    let half = |batch: &Bytes| batch.slice(..batch.len() / 2);
    match what {
        What::NoRecords => Some(Bytes::new()),
        What::HalfBatch => Some(half(first)),
        What::Scrap => Some(first.slice(..10)),
        What::HalfTail => {
            let (last, before) = batches.split_last()?;
            (!before.is_empty()).then(|| joined(before.iter().cloned().chain([half(last)])))
        }
        What::Corrupt => {
            let mut spoilt = BytesMut::from(&records[..]);
            // In the records of a batch, which its checksum covers.
            let place = batches[..batches.len() / 2].iter().map(Bytes::len).sum::<usize>();
            let length = batches[batches.len() / 2].len();
            *spoilt.get_mut(place + HEADER_LENGTH + (length - HEADER_LENGTH) / 2)? ^= 1;
            Some(spoilt.freeze())
        }
        What::FirstMissing => (batches.len() > 1).then(|| records.slice(first.len()..)),
        What::Swapped => {
            let [first, second, rest @ ..] = batches.as_slice() else { return None };
            Some(joined([second, first].into_iter().chain(rest).cloned()))
        }
        _ => None,
    }
}

/// The whole batches among them. A last one that is not whole, as a fetch may bring, is left out.
fn batches(records: &Bytes) -> Vec<Bytes> {
    let mut rest = records.clone();
    let mut found = Vec::new();
    while rest.len() > HEADER_LENGTH {
        // The base offset, then the length of what follows.
        let length = PREFIX + usize::try_from((&rest[8..PREFIX]).get_i32()).unwrap_or(usize::MAX - PREFIX);
        if length <= HEADER_LENGTH || length > rest.len() {
            break;
        }
        found.push(rest.split_to(length));
    }
    found
}

fn joined(batches: impl Iterator<Item = Bytes>) -> Bytes {
    batches
        .fold(BytesMut::new(), |mut all, batch| {
            all.extend_from_slice(&batch);
            all
        })
        .freeze()
}

/// Base offset and length.
const PREFIX: usize = 12;
/// All that comes before a batch's records.
const HEADER_LENGTH: usize = 61;

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(offset: u8, length: usize) -> Vec<u8> {
        let mut batch = vec![0, 0, 0, 0, 0, 0, 0, offset];
        batch.extend(i32::try_from(length - PREFIX).expect("small").to_be_bytes());
        batch.resize(length, offset);
        batch
    }

    #[test]
    fn batches_are_told_apart_and_a_torn_one_is_left_out() {
        let torn = [batch(1, 100), batch(2, 80), batch(3, 90)[..70].to_vec()].concat();
        let found = batches(&torn.into());
        assert_eq!(found, [Bytes::from(batch(1, 100)), Bytes::from(batch(2, 80))]);
    }

    #[test]
    fn spoiling_does_what_it_says() {
        let (one, two) = (batch(1, 100), batch(2, 80));
        let both: Bytes = [one.clone(), two.clone()].concat().into();
        assert_eq!(spoil(&both, What::Swapped), Some([two.clone(), one.clone()].concat().into()));
        assert_eq!(spoil(&both, What::FirstMissing), Some(two.clone().into()));
        assert_eq!(spoil(&both, What::HalfBatch), Some(one[..50].to_vec().into()));
        assert_eq!(spoil(&both, What::HalfTail), Some([one.clone(), two[..40].to_vec()].concat().into()));
        let corrupt = spoil(&both, What::Corrupt).expect("there is something to spoil");
        assert_eq!(corrupt.iter().zip(&both).filter(|(is, was)| is != was).count(), 1);
        assert_eq!(spoil(&one.into(), What::Swapped), None);
    }
}
