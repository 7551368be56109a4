//! The runs of a sequence, and the judgement after each: the exit, the landing, the audit.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::wait_until;
use super::field::{Field, LIMIT, Step};
use super::model::{Ended, Expected};
use super::plan::{During, Ground, Group};
use crate::landed;
use crate::rdp::{Exit, RdpProcess};

impl Field {
    pub(super) fn load(&mut self, failpoint: Option<String>, kill_after: Option<Duration>, step: &mut Step) {
        let only = self.setup.only(self.topic.partitions());
        self.model.begun(self.setup.start, only.as_deref());
        let expected = self.model.expected(only.as_deref());
        let config = self.setup.write(&self.topic, &self.home);
        let rdp = self.rdp("load", &config);
        let may_be_killed = failpoint.is_some() || kill_after.is_some();
        let mut process = match failpoint {
            Some(failpoint) => rdp.failpoint(&failpoint).spawn(),
            None => rdp.spawn(),
        };
        if let Some(time) = kill_after {
            std::thread::sleep(time);
            process.kill();
        }
        let exit = process.wait(LIMIT);
        let ended = Ended { only, asked: self.asked(&exit.stderr), ..Ended::default() };
        self.judge_exit(&exit, &expected, may_be_killed, step);
        self.judge(ended, exit.code(), step);
        if exit.code().is_some() {
            self.audit(step);
        }
    }

    pub(super) fn run(&mut self, during: During, failpoint: Option<String>, step: &mut Step) {
        let only = self.setup.only(self.topic.partitions());
        self.model.begun(self.setup.start, only.as_deref());
        let expected = self.model.expected(only.as_deref());
        let config = self.setup.write(&self.topic, &self.home);
        let rdp = self.rdp("run", &config);
        let is_killed = failpoint.is_some();
        let mut processes = [match failpoint {
            Some(failpoint) => rdp.failpoint(&failpoint).spawn(),
            None => rdp.spawn(),
        }];
        let mut anew = None;
        if self.wait_for_assignment(&mut processes, &expected, only.as_deref(), step) {
            match during {
                During::Nothing => {}
                During::Produce(count) => self.produce(count, None),
                During::AddPartition if self.add_partition() => self.produce(20, None),
                During::AddPartition => {}
                During::Recreate => {
                    self.produce(10, None);
                    std::thread::sleep(Duration::from_millis(self.random.u64(..400)));
                    anew = Some(self.recreate_under_it());
                }
            }
        }
        let expected =
            if anew.is_some() { Expected::Changed("it was made anew under the run".to_owned()) } else { expected };
        self.wait_for_end(&mut processes, &expected, only.as_deref());
        let [mut process] = processes;
        match is_killed {
            true => process.kill(),
            false => process.term(),
        }
        let exit = process.wait(LIMIT);
        let ended = Ended { only, asked: self.asked(&exit.stderr), ..Ended::default() };
        self.judge_exit(&exit, &expected, is_killed, step);
        self.judge(ended, exit.code(), step);
        if let Some(produced) = anew {
            self.model.recreated();
            produced.into_iter().for_each(|(partition, offset, id)| self.model.produced(partition, offset, id));
        }
        if !is_killed {
            self.audit(step);
        }
    }

    /// The new topic's records are told to the model once the run has ended: none of them may land.
    fn recreate_under_it(&mut self) -> Vec<(i32, i64, u64)> {
        self.topic.recreate();
        let (ids, partitions) = (self.next_id..self.next_id + 60, self.topic.partitions());
        let maker = self.model.maker;
        let delivered = self.topic.produce(ids.clone().map(|id| maker.record(id, (id % 1_000) as i32 % partitions)));
        self.next_id = ids.end;
        ids.zip(delivered).map(|(id, at)| (at.partition, at.offset, id)).collect()
    }

    pub(super) fn pair(&mut self, kill_one: bool, step: &mut Step) {
        let mut setup = self.setup.clone();
        setup.even_only = false;
        if setup.group == Group::None {
            setup.group = Group::First;
        }
        self.model.begun(setup.start, None);
        let expected = self.model.expected(None);
        let config = setup.write(&self.topic, &self.home);
        let mut processes = [(); 2].map(|()| self.rdp("run", &config).spawn());
        if self.wait_for_assignment(&mut processes, &expected, None, step) {
            self.produce(40, None);
            if kill_one {
                std::thread::sleep(Duration::from_millis(self.random.u64(..500)));
                processes[1].kill();
                self.tally.kills += 1;
            }
        }
        self.wait_for_end(&mut processes, &expected, None);
        processes.iter_mut().for_each(RdpProcess::term);
        let exits = processes.map(|process| process.wait(LIMIT));
        let asked = exits.iter().flat_map(|exit| self.asked(&exit.stderr)).collect();
        // Whoever refuses stands for both: the other may have been given nothing that changed.
        let is_refused = |exit: &&Exit| exit.code() == Some(SOURCE_CHANGED);
        let spokesman = exits.iter().find(is_refused).unwrap_or(&exits[0]);
        self.judge_exit(spokesman, &expected, false, step);
        let second = &exits[1];
        let is_fine = matches!(second.code(), Some(0 | SOURCE_CHANGED)) || kill_one && second.was_killed();
        if !is_fine {
            step.wrong.push(format!("the second member ended with {}\n{}", second.status, tail(&second.stderr)));
        }
        self.judge(Ended { asked, ..Ended::default() }, spokesman.code(), step);
        self.audit(step);
    }

    /// Waits until all partitions are given out; `false` where a process ended before, or should.
    fn wait_for_assignment(
        &mut self,
        processes: &mut [RdpProcess],
        expected: &Expected,
        only: Option<&[i32]>,
        step: &mut Step,
    ) -> bool {
        if matches!(expected, Expected::Changed(_)) {
            return false;
        }
        let wanted: BTreeSet<i32> = match only {
            Some(only) => only.iter().copied().collect(),
            None => (0..self.topic.partitions()).collect(),
        };
        let mut asked = BTreeSet::new();
        let is_given_out = wait_until(PATIENCE, || {
            asked = processes.iter().flat_map(|process| self.asked(&process.stderr())).collect();
            asked.is_superset(&wanted) || processes.iter_mut().any(RdpProcess::has_ended)
        });
        if !is_given_out {
            step.wrong.push(format!("silent: of {wanted:?} only {asked:?} were assigned within {PATIENCE:?}"));
        }
        self.model.asked(&asked);
        is_given_out && !processes.iter_mut().any(RdpProcess::has_ended)
    }

    /// Waits until everything has landed, or, where that is expected, until a process has ended by itself.
    fn wait_for_end(&self, processes: &mut [RdpProcess], expected: &Expected, only: Option<&[i32]>) {
        let is_exact = !matches!(expected, Expected::Changed(_));
        wait_until(PATIENCE, || {
            std::thread::sleep(Duration::from_millis(100));
            let landed = landed::read(&self.home.landing(), self.topic.name());
            // A member that was killed has ended too.
            is_exact && self.model.is_landed(&landed, only) || processes[0].has_ended()
        });
    }

    fn judge_exit(&mut self, exit: &Exit, expected: &Expected, may_be_killed: bool, step: &mut Step) {
        self.tally.runs += 1;
        self.tally.kills += u64::from(may_be_killed && exit.was_killed());
        step.said += &format!("{expected:?}: {}", exit.status);
        let code = exit.code();
        let is_right = match expected {
            Expected::Exact => code == Some(0),
            Expected::Changed(_) => code == Some(SOURCE_CHANGED),
            Expected::Either(_) => matches!(code, Some(0 | SOURCE_CHANGED)),
            Expected::Gone => matches!(code, Some(CONFIG | SOURCE_CHANGED)),
        };
        let is_ours = may_be_killed && exit.was_killed();
        if !is_right && !is_ours {
            step.wrong.push(format!("ended with {}, expected {expected:?}\n{}", exit.status, tail(&exit.stderr)));
        }
        if code == Some(SOURCE_CHANGED) {
            self.tally.refusals += 1;
            self.refusals += 1;
        }
    }

    /// Holds the landing against the model.
    fn judge(&mut self, mut ended: Ended, code: Option<i32>, step: &mut Step) {
        // Where a run has gone on in silence, a new landing was begun, of which it knows nothing.
        let is_judged = step.odd.is_empty();
        ended.is_complete = is_judged && code == Some(0);
        if !is_judged {
            ended.asked.clear();
        }
        ended.is_refused = code == Some(SOURCE_CHANGED);
        ended.columns = self.setup.columns();
        if self.ground == Ground::Compacted && !self.model.is_deleted {
            let readable = (0..self.topic.partitions()).map(|partition| self.topic.readable_offsets(partition));
            ended.readable = Some(readable.map(|offsets| offsets.into_iter().collect()).collect());
        }
        let landed = landed::read(&self.home.landing(), self.topic.name());
        let before = self.model.row_count();
        step.wrong.extend(self.model.take(&landed, &ended));
        let rows = self.model.row_count() - before;
        self.tally.records += rows as u64;
        step.said += &format!("; {rows} rows landed, {} in all", self.model.row_count());
    }

    /// Holds the audit against the model.
    fn audit(&mut self, step: &mut Step) {
        if self.model.is_deleted || !step.wrong.is_empty() {
            return;
        }
        let mut setup = self.setup.clone();
        setup.even_only = false;
        let config = setup.write(&self.topic, &self.home);
        let mut audit = self.rdp("audit", &config);
        if self.is_thinned {
            audit = audit.arg("--allow-removed");
        }
        let exit = audit.run(LIMIT);
        self.tally.audits += 1;
        let (expected, code) = (self.model.expected(None), exit.code());
        let words = || format!("the audit ended with {}; {expected:?}\n{}", exit.status, tail(&exit.stdout));
        let is_clean = code == Some(0);
        match &expected {
            Expected::Exact if !is_clean => step.wrong.push(words()),
            // An audit compares offsets, and they are the same.
            Expected::Changed(_) if is_clean && self.model.has_grown_again() => step.odd.push(words()),
            Expected::Changed(_) if is_clean => step.wrong.push(words()),
            _ => {}
        }
    }

    /// The partitions that a process has said it was assigned: it has looked up where to begin.
    fn asked(&self, stderr: &str) -> BTreeSet<i32> {
        let lines = stderr.lines().filter(|line| line.contains("partitions assigned"));
        let named = lines.flat_map(|line| line.split(self.topic.name()).skip(1));
        named.filter_map(|rest| rest.strip_prefix('[')?.split_once(']')?.0.parse().ok()).collect()
    }
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(14)..].join("\n")
}

/// Longer than any group takes to forget a member that was killed.
const PATIENCE: Duration = Duration::from_secs(45);
/// Exit codes.
const CONFIG: i32 = 10;
const SOURCE_CHANGED: i32 = 16;
