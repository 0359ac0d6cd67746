//! What the kernel knows of this process, under the names that every client library gives it.

use std::fs;

use super::{PROCESS_CPU, PROCESS_FDS, PROCESS_FDS_MAX, PROCESS_RESIDENT, PROCESS_THREADS, Page};

/// Ticks of the processor times in `/proc`, a second: fixed in the kernel's interface to programs (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Writes what can be read of `/proc/self`; what cannot is left out.
pub fn write(page: &mut Page) {
    if let Some(seconds) = cpu_seconds() {
        page.number(&PROCESS_CPU, &[], seconds);
    }
    if let Ok(descriptors) = fs::read_dir("/proc/self/fd") {
        page.sample(&PROCESS_FDS, &[], descriptors.count() as u64);
    }
    let limit = field("/proc/self/limits", "Max open files");
    let samples = [
        (&PROCESS_FDS_MAX, limit),
        (&PROCESS_RESIDENT, field("/proc/self/status", "VmRSS:").map(|kib| kib * 1024)),
        (&PROCESS_THREADS, field("/proc/self/status", "Threads:")),
    ];
    for (metric, value) in samples {
        if let Some(value) = value {
            page.sample(metric, &[], value);
        }
    }
}

/// The first number behind `name` at the start of a line of this file.
fn field(path: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

fn cpu_seconds() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the process, in parentheses, may hold anything; user and system time are the 14th and 15th field.
    let mut fields = text.get(text.rfind(')')? + 1..)?.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u32>().ok();
    Some((f64::from(ticks()?) + f64::from(ticks()?)) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_numbers_are_on_the_page() {
        let mut page = Page::default();
        write(&mut page);
        let text = page.into_text();
        for name in ["process_cpu_seconds_total", "process_open_fds", "process_max_fds", "process_threads"] {
            assert!(text.contains(&format!("\n{name} ")), "{name} in {text}");
        }
        assert!(text.contains("\nprocess_resident_memory_bytes "));
    }
}
