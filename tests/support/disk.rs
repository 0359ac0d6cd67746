//! A disk that a test may fill or cut off, in a file; and saying so where there can be none.
//!
//! Keeps: no mount outlives its value.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A mounted file system in a file.
#[derive(Debug)]
pub(crate) struct Disk {
    point: PathBuf,
    image: PathBuf,
}

impl Disk {
    /// Makes one of ext4, with no blocks set aside for root.
    ///
    /// # Errors
    /// Why that is not possible here.
    pub(crate) fn make(folder: &Path, bytes: u64) -> Result<Self, String> {
        let disk = Self { point: folder.join("disk"), image: folder.join("image") };
        std::fs::create_dir(&disk.point).unwrap();
        File::create(&disk.image).unwrap().set_len(bytes).unwrap();
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&disk.image))?;
        disk.mount()?;
        Ok(disk)
    }

    pub(crate) fn point(&self) -> &Path {
        &self.point
    }

    fn mount(&self) -> Result<(), String> {
        run(Command::new("mount").args(["-o", "loop"]).arg(&self.image).arg(&self.point))
    }

    fn unmount(&self) -> Result<(), String> {
        run(Command::new("umount").arg(&self.point))
    }

    /// Makes ready to cut the power: what comes between a promise and the cut may be synced meanwhile.
    ///
    /// # Errors
    /// Why that is not possible here.
    pub(crate) fn power_switch(&self) -> Result<PowerSwitch, String> {
        // FS_IOC_SHUTDOWN with FS_SHUTDOWN_FLAGS_NOLOGFLUSH (linux/fs.h, XFS_IOC_GOINGDOWN).
        let wait_and_cut = "import fcntl, os, struct, sys; \
                            disk = os.open(sys.argv[1], os.O_RDONLY); \
                            print('ready', flush=True); \
                            sys.stdin.read(); \
                            fcntl.ioctl(disk, 0x8004587d, struct.pack('I', 2))";
        let mut command = Command::new("python3");
        command.args(["-c", wait_and_cut]).arg(&self.point).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut waiting = command.spawn().map_err(|error| format!("python3: {error}"))?;
        let mut said = String::new();
        BufReader::new(waiting.stdout.take().unwrap()).read_line(&mut said).unwrap();
        if said == "ready\n" { Ok(PowerSwitch(waiting)) } else { Err("the switch does not start".to_owned()) }
    }

    /// Brings it back, with what had reached it.
    pub(crate) fn restore_power(&self) {
        self.unmount().unwrap();
        self.mount().unwrap();
    }
}

/// See `Disk::power_switch`.
#[derive(Debug)]
pub(crate) struct PowerSwitch(Child);

impl PowerSwitch {
    /// From here on nothing reaches the disk: not the journal, not a dirty page.
    ///
    /// A power cut ends the processes in the same moment; this one they live through, and a sync that is running then
    /// may be told that it succeeded (ext4, Linux 6.18: it waits for a commit, which is over because it was given up;
    /// 255 times in 2,250 cuts of a loop of `pwrite` and `fdatasync` alone). What is said from here on is no promise.
    ///
    /// # Errors
    /// Why that is not possible here.
    pub(crate) fn cut(mut self) -> Result<(), String> {
        drop(self.0.stdin.take());
        let status = self.0.wait().unwrap();
        if status.success() { Ok(()) } else { Err(format!("the file system cannot be shut down: {status}")) }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.unmount().is_err() {
            // Never mounted; or a process that is about to die still has a file open there.
            let _gone_later = run(Command::new("umount").arg("--lazy").arg(&self.point));
        }
    }
}

/// Says that a test proves nothing here, past the harness, which keeps what a passing test prints to itself.
pub(crate) fn skipped(reason: &str) {
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    std::io::stderr().write_all(format!("skipped: {name}: {reason}\n").as_bytes()).unwrap();
}

/// Runs a command to its end.
///
/// # Errors
/// Why it cannot be run, or what it said when it failed.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
