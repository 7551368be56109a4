//! What a torture will do: how many records, windows and kills, in which topic; all of it is fixed before it begins.

use rdp_elt::config::Config;
use rdp_elt::{Error, Result};

use crate::args::Torture;
use crate::number::counted;

/// The plan.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) topic: String,
    pub(super) seed: u64,
    pub(super) kills: u64,
    pub(super) record_count: u64,
    pub(super) partition_count: i32,
}

impl Plan {
    /// The plan that the arguments ask for, with a topic's name that nobody else has.
    pub(super) fn new(args: &Torture) -> Result<Self> {
        let (kills, record_count) = (args.kills, args.records);
        if record_count < kills * LEAST_PER_KILL {
            return Err(Error::config(format!(
                "torture: {} are too few for {}",
                counted(record_count, "record"),
                counted(kills, "kill")
            ))
            .with_help(format!("name at least --records {}, or fewer --kills", kills * LEAST_PER_KILL)));
        }
        let topic = format!("rdp-torture-{:08x}", fastrand::u32(..));
        let seed = args.seed.unwrap_or_else(|| fastrand::u32(..).into());
        Ok(Plan { topic, seed, kills, record_count, partition_count: args.partitions })
    }

    /// Records that are in the topic before the first loader starts; the others come while loaders run.
    pub(super) fn produced_before(&self) -> u64 {
        self.record_count / 2
    }

    /// Records that come while one loader runs.
    pub(super) fn produced_beside(&self) -> u64 {
        // Half as much again is left for loaders that were to be killed and had ended before.
        (self.record_count - self.produced_before()) * 2 / (3 * self.kills)
    }

    /// How many records close a window: so few that each loader has several windows to land.
    pub(super) fn window_records(&self) -> u64 {
        (self.record_count / (WINDOWS_PER_KILL * self.kills)).max(1)
    }

    /// What will happen, for the person who has just asked for it.
    pub(super) fn announcement(&self, config: &Config, keep: bool) -> String {
        format!(
            "torture: {}, {}, seed {}\n\
             makes topic {} with {} at {}, and a folder beside your landing; {}\n\
             your topics, your group and your landing are left alone",
            counted(self.record_count, "record"),
            counted(self.kills, "kill"),
            self.seed,
            self.topic,
            counted(self.partition_count.unsigned_abs().into(), "partition"),
            config.source_config().brokers(),
            if keep { "both are kept" } else { "both are removed in the end, unless something is wrong" },
        )
    }

    /// The command that does the same again.
    pub(super) fn again(&self, config: &str) -> String {
        format!(
            "rdp torture {config} --kills {} --records {} --partitions {} --seed {} --keep",
            self.kills, self.record_count, self.partition_count, self.seed
        )
    }
}

const WINDOWS_PER_KILL: u64 = 6;
/// So that several windows of several records come with each kill.
const LEAST_PER_KILL: u64 = 4 * WINDOWS_PER_KILL;

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::args::ConfigFile;

    fn plan(kills: u64, records: u64) -> Result<Plan> {
        let file = ConfigFile { config: PathBuf::from("orders.toml") };
        Plan::new(&Torture { file, kills, records, partitions: 6, seed: Some(7), keep: false })
    }

    #[test]
    fn every_loader_has_windows_of_its_own() {
        for (kills, records) in [(25, 100_000), (1, 100), (3, 101), (4, 100)] {
            let plan = plan(kills, records).expect("enough records");
            assert!(plan.produced_beside() >= 2 * plan.window_records(), "{plan:?}");
            assert!(plan.produced_before() + kills * plan.produced_beside() <= records, "{plan:?}");
        }
    }

    #[test]
    fn too_few_records_are_told_how_many_it_takes() {
        let error = plan(25, 100).expect_err("too few");
        assert!(error.help().is_some_and(|help| help.contains("--records 600")), "{error:?}");
    }
}
