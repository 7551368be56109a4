//! Which lane reads which partition, where no group decides it.

use std::collections::BTreeSet;

use crate::offset::TopicPartition;

/// Partitions dealt out among lanes, each to one of them, and dealt out further when there are more.
#[derive(Debug, Default)]
pub(super) struct Deal {
    dealt: BTreeSet<TopicPartition>,
    hands: Vec<Hand>,
}

#[derive(Debug, Default)]
struct Hand {
    partition_count: usize,
    /// Dealt, and not taken by the lane yet.
    waiting: Vec<TopicPartition>,
}

impl Deal {
    /// A deal among lanes that hold nothing yet.
    pub(super) fn among(lanes: usize) -> Self {
        Deal { dealt: BTreeSet::new(), hands: (0..lanes).map(|_| Hand::default()).collect() }
    }

    /// Deals out what was not dealt before, always to the lane that has least. Returns how many that were.
    pub(super) fn add(&mut self, partitions: impl IntoIterator<Item = TopicPartition>) -> usize {
        let mut count = 0;
        for partition in partitions {
            let Some(hand) = self.hands.iter_mut().min_by_key(|hand| hand.partition_count) else { break };
            if self.dealt.insert(partition.clone()) {
                hand.partition_count += 1;
                hand.waiting.push(partition);
                count += 1;
            }
        }
        count
    }

    /// What was dealt to a lane since it asked last.
    pub(super) fn take(&mut self, lane: usize) -> Vec<TopicPartition> {
        self.hands.get_mut(lane).map(|hand| std::mem::take(&mut hand.waiting)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partitions(count: i32) -> impl Iterator<Item = TopicPartition> {
        (0..count).map(|partition| TopicPartition::new("orders", partition))
    }

    #[test]
    fn every_partition_goes_to_one_lane_and_only_once() {
        let mut deal = Deal::among(2);
        assert_eq!(deal.add(partitions(3)), 3);
        assert_eq!((deal.take(0).len(), deal.take(1).len()), (2, 1));
        assert_eq!(deal.add(partitions(3)), 0);
        assert_eq!(deal.add(partitions(6)), 3);
        let (first, second) = (deal.take(0), deal.take(1));
        assert_eq!((first.len(), second.len()), (1, 2), "the lane that has least gets the next");
        let all: BTreeSet<_> = first.into_iter().chain(second).collect();
        assert_eq!(all, partitions(6).skip(3).collect());
        assert!(deal.take(0).is_empty());
    }
}
