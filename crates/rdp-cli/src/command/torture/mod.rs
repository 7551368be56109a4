//! `rdp torture`: a topic and a landing of its own on the config's brokers and disk, a loader between them that is killed
//! over and over, and the verdict: whether each record landed once and as it was.

mod loader;
mod plan;
mod report;
mod scratch;
mod strike;

use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use rdp_elt::audit::audit_against_broker;
use rdp_elt::config::Config;
use rdp_elt::{Error, ErrorKind, Shutdown};
use tokio::runtime::Handle;

use self::plan::Plan;
use self::report::{Broken, Report};
use self::scratch::{Kept, Scratch};
use super::{blocking, shell_word};
use crate::args::Torture;
use crate::exit::{Failure, NOT_CLEAN, STOPPED};
use crate::number::counted;
use crate::output;
use crate::screen::Screen;
use crate::signal;

pub(super) async fn run(args: &Torture, screen: &Screen) -> Result<(), Failure> {
    let config = Config::from_path(&args.file.config)?;
    let plan = Plan::new(args)?;
    screen.say(plan.announcement(&config, args.keep));
    let shutdown = Shutdown::new();
    let signals = signal::watch_saying(&shutdown, screen, STOPPING)?;
    let (path, keep) = (args.file.config.clone(), args.keep);
    let (for_steps, asked) = (screen.clone(), shutdown.clone());
    let ended = blocking(move || Ok(from_end_to_end(&path, &config, plan, keep, &asked, &for_steps))).await;
    signals.abort();
    let Ended { report, kept, not_removed } = ended??;

    let printed = match (&report, screen.output().is_for_people()) {
        (Ok(report), true) => output::text(&report.text()),
        (Ok(report), false) => screen.output().object(&report.to_json(kept.as_ref())),
        (Err(broken), true) => output::text(&broken.text()),
        (Err(broken), false) => screen.output().object(&broken.to_json(kept.as_ref())),
    };
    if let Some(kept) = &kept {
        screen.say(kept.text());
    }
    let (is_clean, plan) = match &report {
        Ok(report) => (report.is_clean(), &report.plan),
        Err(broken) => (false, &broken.plan),
    };
    let verdict = match not_removed {
        _ if !is_clean => {
            screen.say(format_args!("the same again: {}", plan.again(&shell_word(&args.file.config))));
            Err(Failure::Told(NOT_CLEAN))
        }
        Some(error) => Err(error.into()),
        None => Ok(()),
    };
    if let Err(Broken { error, .. }) = report {
        screen.show_failure(&error.into());
    }
    screen.end(printed, verdict)
}

/// A torture that came to its verdict, and what became of its scratch.
struct Ended {
    report: Result<Report, Broken>,
    kept: Option<Kept>,
    not_removed: Option<Error>,
}

/// Makes the scratch, tortures, and clears up whatever came of it. What is not clean is evidence, and kept.
fn from_end_to_end(
    path: &Path,
    config: &Config,
    plan: Plan,
    keep: bool,
    shutdown: &Shutdown,
    screen: &Screen,
) -> Result<Ended, Failure> {
    let mut scratch = Scratch::make(path, config, &plan)?;
    let outcome = torture(plan.clone(), &mut scratch, shutdown, screen);
    // What fails because it was given up is no failure of its own.
    let outcome = if shutdown.is_requested() { Err(INTERRUPTED) } else { outcome };
    let is_evidence = is_evidence(&outcome);
    if keep || is_evidence {
        let kept = scratch.keep();
        let report = match outcome {
            Err(Failure::Error(error)) if is_evidence => Err(Broken { plan, error }),
            Err(failure) => {
                screen.say(kept.text());
                return Err(failure);
            }
            Ok(report) => Ok(report),
        };
        return Ok(Ended { report, kept: Some(kept), not_removed: None });
    }
    let removed = scratch.remove();
    match outcome {
        Ok(report) => Ok(Ended { report: Ok(report), kept: None, not_removed: removed.err() }),
        Err(failure) => {
            match removed {
                Ok(()) => screen.say("topic and folder are removed"),
                Err(error) => screen.show_failure(&error.into()),
            }
            Err(failure)
        }
    }
}

/// Whether it may be a fault of RDP's, for which somebody will want to look at what is there. A landing that cannot be read,
/// or a loader that came to another end than ours, is a verdict as much as a record that is missing.
fn is_evidence(outcome: &Result<Report, Failure>) -> bool {
    match outcome {
        Ok(report) => !report.is_clean(),
        Err(Failure::Error(error)) => {
            !matches!(error.kind(), ErrorKind::Config | ErrorKind::Denied | ErrorKind::Unavailable)
        }
        Err(_) => false,
    }
}

fn torture(plan: Plan, scratch: &mut Scratch, shutdown: &Shutdown, screen: &Screen) -> Result<Report, Failure> {
    let began = Instant::now();
    let folder = scratch.landing();
    screen.say(format_args!("producing {} before the first start", counted(plan.produced_before(), "record")));
    strike::produce(&mut scratch.topic, plan.produced_before(), shutdown)?;

    screen.say(format_args!(
        "killing the loader {} while the other records come; it lands windows of {} in {}",
        if plan.kills == 1 { "once".to_owned() } else { format!("{} times", plan.kills) },
        counted(plan.window_records(), "record"),
        folder.display()
    ));
    let bar = bar(screen, plan.kills);
    let strikes = strike::strike(&plan, scratch, shutdown, &|struck| bar.set_position(struck));
    bar.finish_and_clear();
    let strikes = strikes?;

    screen.say("comparing what landed with what was produced");
    let landing = Config::from_path(scratch.loader.config())?.open_landing()?;
    let sink = landing.ok_or_else(|| Error::internal(format!("{} is not there any more", folder.display())))?;
    let audit = Handle::current().block_on(audit_against_broker(&*sink, scratch.topic.source()))?;
    let comparison = Handle::current().block_on(scratch.topic.compare(&*sink.reader()))?;
    Ok(Report {
        strikes,
        comparison,
        audit,
        tombstone_count: scratch.topic.tombstone_count(),
        poisoned_count: scratch.topic.poisoned_count(),
        time: began.elapsed(),
        plan,
    })
}

fn bar(screen: &Screen, kills: u64) -> ProgressBar {
    let Some(bars) = screen.bars() else { return ProgressBar::hidden() };
    let bar = bars.add(ProgressBar::new(kills));
    let style = ProgressStyle::with_template("{elapsed:>4} {bar:30.cyan/dim} {pos}/{len} kills");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─"));
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// Ended by a signal; the person was told when it came.
const INTERRUPTED: Failure = Failure::Told(STOPPED);

const STOPPING: [&str; 3] = [
    "stopping: the loader is killed once more, and what was made is cleared up",
    "stopping already: what was made is being cleared up",
    "stopping already: what was made is being cleared up",
];
