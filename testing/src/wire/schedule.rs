//! A handful of faults that a seed decides, and the loader that they are tried on.

mod codes;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use self::codes::{kinds_for, trials};
use super::{Api, Fault, What};

/// How the loader under test reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Without a group.
    Alone,
    /// In two lanes without a group.
    Lanes,
    /// As the one member of a group of the classic protocol, cooperative.
    Cooperative,
    /// The same, eager.
    Eager,
    /// As the one member of a group of the new protocol (KIP-848).
    Consumer,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Mode; 5] = [Mode::Alone, Mode::Lanes, Mode::Cooperative, Mode::Eager, Mode::Consumer];

    /// Whether it has a group.
    pub fn has_group(self) -> bool {
        !matches!(self, Mode::Alone | Mode::Lanes)
    }

    /// How many lanes it has.
    pub fn lanes(self) -> usize {
        if self == Mode::Lanes { 2 } else { 1 }
    }

    /// librdkafka's settings of it, beside [`Schedule::SETTINGS`].
    pub fn settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Mode::Alone | Mode::Lanes => &[],
            Mode::Cooperative => &[
                ("partition.assignment.strategy", "cooperative-sticky"),
                ("session.timeout.ms", "3000"),
                ("heartbeat.interval.ms", "300"),
            ],
            Mode::Eager => &[
                ("partition.assignment.strategy", "range"),
                ("session.timeout.ms", "3000"),
                ("heartbeat.interval.ms", "300"),
            ],
            Mode::Consumer => &[("group.protocol", "consumer")],
        }
    }
}

/// What one try of the fuzz does; printed in one line, which is read back.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// Where it comes from; decides about the records too.
    pub seed: u64,
    /// How the loader reads.
    pub mode: Mode,
    /// `rdp run`, which is stopped once all has landed; else `rdp load`, which ends by itself.
    pub endless: bool,
    /// Whether some records come in transactions, of which some are aborted.
    pub transactions: bool,
    /// Of the topic.
    pub partitions: i32,
    /// The faults, and when each is switched on.
    pub faults: Vec<(Duration, Fault)>,
    /// When all of them are lifted.
    pub time: Duration,
}

impl Schedule {
    /// librdkafka's settings under which a schedule is over in seconds: it finds back soon, and fetches little at a time.
    pub const SETTINGS: [(&str, &str); 8] = [
        ("reconnect.backoff.ms", "20"),
        ("reconnect.backoff.max.ms", "200"),
        ("retry.backoff.ms", "50"),
        ("socket.timeout.ms", "2000"),
        ("fetch.wait.max.ms", "100"),
        ("fetch.error.backoff.ms", "50"),
        ("max.partition.fetch.bytes", "8000"),
        ("topic.metadata.refresh.interval.ms", "1000"),
    ];

    /// How long a loader under test may be patient.
    pub const GIVE_UP_AFTER: Duration = Duration::from_secs(40);

    /// The schedule of this seed.
    pub fn generate(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mode = Mode::ALL[random.usize(..Mode::ALL.len())];
        let partitions = random.i32(2..4);
        let mut schedule = Schedule {
            seed,
            mode,
            endless: random.u8(..3) == 0,
            transactions: random.u8(..4) == 0,
            partitions,
            faults: Vec::new(),
            time: Duration::from_millis(random.u64(1_500..4_000)),
        };
        for _ in 0..random.usize(1..5) {
            let at = if random.bool() { 0 } else { random.u64(50..1_200) };
            schedule.faults.push((Duration::from_millis(at), fault(&mut random, mode, partitions)));
        }
        schedule
    }

    /// The kinds of error that a loader may end with under these faults, besides `Unavailable` after
    /// [`Schedule::GIVE_UP_AFTER`].
    pub fn fitting_kinds(&self) -> Vec<&'static str> {
        self.faults.iter().flat_map(|(_, fault)| kinds_for(fault)).copied().collect()
    }
}

fn fault(random: &mut fastrand::Rng, mode: Mode, partitions: i32) -> Fault {
    let apis: Vec<Api> = APIS.iter().filter(|(_, meets)| meets(mode)).map(|(api, _)| *api).collect();
    let api = apis[random.usize(..apis.len())];
    let trials = trials(api);
    let what = match random.usize(..trials.len() + WHOLE.len()) {
        place if place < trials.len() => trials[place],
        place => match WHOLE[place - trials.len()] {
            What::Delay(_) => What::Delay(Duration::from_millis(random.u64(50..2_500))),
            // librdkafka 2.12 dies of one without brokers and topics that it asked for to describe topics: SIGSEGV in
            // `rd_kafka_admin_response_parse`, for want of a result. No broker answers so.
            What::Empty if api == Api::Metadata => What::NoTopic,
            plain => plain,
        },
    };
    let mut fault = Fault::new(api, what).at(random.u64(1..5));
    fault = match random.u8(..6) {
        0..3 => fault,
        3..5 => fault.times(random.u64(2..6)),
        _ => fault.forever(),
    };
    match what {
        // librdkafka 2.12 looks for the answer to each partition where there are fewer, and dies of it (SIGSEGV in
        // `rd_kafka_ListOffsets_handle_result`). Brokers answer for all that they were asked of.
        What::NoPartition if api == Api::ListOffsets => fault,
        What::PartitionError(_) | What::NoPartition | What::NoOffset | What::NoLeader if random.bool() => {
            fault.partition(random.i32(0..partitions))
        }
        _ => fault,
    }
}

/// An API, and whether a mode asks it.
type Asked = (Api, fn(Mode) -> bool);

/// The more often listed, the more often tried.
const APIS: [Asked; 20] = [
    (Api::Fetch, |_| true),
    (Api::Fetch, |_| true),
    (Api::Fetch, |_| true),
    (Api::Metadata, |_| true),
    (Api::Metadata, |_| true),
    (Api::ListOffsets, |_| true),
    (Api::ListOffsets, |_| true),
    (Api::OffsetForLeaderEpoch, |_| true),
    (Api::ApiVersions, |_| true),
    (Api::DescribeCluster, |_| true),
    (Api::FindCoordinator, Mode::has_group),
    (Api::OffsetCommit, Mode::has_group),
    (Api::JoinGroup, |mode| matches!(mode, Mode::Cooperative | Mode::Eager)),
    (Api::JoinGroup, |mode| matches!(mode, Mode::Cooperative | Mode::Eager)),
    (Api::SyncGroup, |mode| matches!(mode, Mode::Cooperative | Mode::Eager)),
    (Api::Heartbeat, |mode| matches!(mode, Mode::Cooperative | Mode::Eager)),
    (Api::LeaveGroup, |mode| matches!(mode, Mode::Cooperative | Mode::Eager)),
    (Api::ConsumerGroupHeartbeat, |mode| mode == Mode::Consumer),
    (Api::ConsumerGroupHeartbeat, |mode| mode == Mode::Consumer),
    (Api::ConsumerGroupHeartbeat, |mode| mode == Mode::Consumer),
];

/// What is tried on every API.
const WHOLE: [What; 8] = [
    What::Delay(Duration::ZERO),
    What::Swallow,
    What::DropAnswer,
    What::CloseBefore,
    What::CloseAfter,
    What::Cut,
    What::Short,
    What::Empty,
];

impl fmt::Display for Schedule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Schedule { seed, mode, endless, transactions, partitions, faults, time } = self;
        let command = if *endless { "run" } else { "load" };
        let mode = format!("{mode:?}").to_lowercase();
        write!(out, "seed={seed} {command} {mode} partitions={partitions} time={}", time.as_millis())?;
        if *transactions {
            out.write_str(" transactions")?;
        }
        faults.iter().try_for_each(|(at, fault)| write!(out, " {}~{fault}", at.as_millis()))
    }
}

impl FromStr for Schedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut schedule = Schedule { faults: Vec::new(), transactions: false, ..Schedule::generate(0) };
        for word in text.split_whitespace() {
            let wrong = || format!("{word:?} means nothing in a schedule");
            let number = |text: &str| text.parse::<u64>().map_err(|_| wrong());
            let mode = Mode::ALL.into_iter().find(|mode| format!("{mode:?}").to_lowercase() == word);
            match (word.split_once('~'), word.split_once('=')) {
                (Some((at, fault)), _) => {
                    schedule.faults.push((Duration::from_millis(number(at)?), fault.parse()?));
                }
                (_, Some(("seed", seed))) => schedule.seed = number(seed)?,
                (_, Some(("partitions", count))) => schedule.partitions = count.parse().map_err(|_| wrong())?,
                (_, Some(("time", time))) => schedule.time = Duration::from_millis(number(time)?),
                _ if word == "run" || word == "load" => schedule.endless = word == "run",
                _ if word == "transactions" => schedule.transactions = true,
                _ => schedule.mode = mode.ok_or_else(wrong)?,
            }
        }
        Ok(schedule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_that_was_printed_is_read_back() {
        for seed in 0..500 {
            let schedule = Schedule::generate(seed);
            assert_eq!(schedule.to_string().parse(), Ok(schedule));
        }
    }

    #[test]
    fn every_kind_of_fault_comes_up() {
        let faults: Vec<Fault> =
            (0..5_000).flat_map(|seed| Schedule::generate(seed).faults).map(|(_, it)| it).collect();
        for (api, _) in APIS {
            for what in trials(api).iter().chain(&WHOLE[1..]) {
                let is_tried = faults.iter().any(|it| it.api() == api && it.what == *what);
                assert!(is_tried || (api, *what) == (Api::Metadata, What::Empty), "{api:?} {what}");
            }
        }
    }
}
