//! Resident memory: idle, and as clicks come in.

use clicklog::load::Limit;

use super::contender::Contender;

pub(crate) fn run() {
    let contender = Contender::clicklog(&[]);
    let show = |clicks: u64| {
        let mib = |field: &str| contender.memory_kib(field) as f64 / 1024.0;
        println!(
            "{clicks:>9} clicks: {:6.1} MiB of its own, {:6.1} MiB of mapped files",
            mib("RssAnon:"),
            mib("RssFile:") + mib("RssShmem:")
        );
    };
    show(0);
    const STEP: u64 = 2_500_000;
    for step in 1..=4 {
        let mut plan = contender.plan();
        plan.limit = Limit::Requests(STEP);
        contender.run(&plan);
        show(step * STEP);
    }
}
