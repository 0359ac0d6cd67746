//! Flat out: how many requests a second, and what each costs the server.

use super::contender::{Contender, Cost};

/// The contenders take turns so often, because machines are noisy; the best and the median are told.
const ROUNDS: usize = 5;

struct Figures {
    name: &'static str,
    rates: Vec<f64>,
    cpu_us: Vec<f64>,
    last: Option<Cost>,
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

pub(crate) fn compare(contenders: &[Contender], closes: bool) {
    let mut all: Vec<Figures> = contenders
        .iter()
        .map(|contender| Figures { name: contender.name, rates: Vec::new(), cpu_us: Vec::new(), last: None })
        .collect();
    for _ in 0..ROUNDS {
        for (contender, figures) in contenders.iter().zip(&mut all) {
            let mut plan = contender.plan();
            plan.closes = closes;
            let cost = contender.run(&plan);
            figures.rates.push(cost.report.sent as f64 / cost.report.elapsed.as_secs_f64());
            figures.cpu_us.push(cost.cpu_us);
            figures.last = Some(cost);
        }
    }
    println!(
        "{:26} {:>10} {:>10} {:>8}   latency of the last round in µs",
        "", "median/s", "best/s", "CPU µs"
    );
    for figures in &all {
        let best = figures.rates.iter().copied().fold(0.0, f64::max);
        let latency = figures.last.as_ref().map(|cost| cost.report.latency.values_us);
        let latency = latency.iter().flatten().map(|(name, us)| format!("{name} {us}")).collect::<Vec<_>>();
        println!(
            "{:26} {:>10.0} {best:>10.0} {:>8.2}   {}",
            figures.name,
            median(&figures.rates),
            median(&figures.cpu_us),
            latency.join("  ")
        );
    }
    for figures in &all[1..] {
        // Round by round: what disturbs the machine disturbs neighbours alike.
        let ratio = |ours: &[f64], first: &[f64]| {
            median(&ours.iter().zip(first).map(|(ours, first)| ours / first).collect::<Vec<_>>())
        };
        println!(
            "{} against {}: {:.2} of its throughput, {:.2} of its CPU a request",
            figures.name,
            all[0].name,
            ratio(&figures.rates, &all[0].rates),
            ratio(&figures.cpu_us, &all[0].cpu_us)
        );
    }
}

fn all() -> Vec<Contender> {
    let contenders = [Some(Contender::bare()), Some(Contender::clicklog(&[])), Contender::nginx()];
    if contenders[2].is_none() {
        println!("nginx is not installed: left out");
    }
    contenders.into_iter().flatten().collect()
}

/// 64 connections that are kept.
pub(crate) fn keepalive() {
    compare(&all(), false);
}

/// A connection for each click.
pub(crate) fn close() {
    compare(&all(), true);
}
