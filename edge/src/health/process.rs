//! What the kernel says about this process.

use std::{fs, path::Path};

/// Figures of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Process {
    /// Memory that it holds.
    pub resident_bytes: u64,
    /// Processor time of all its threads, in hundredths of a second.
    pub cpu_ticks: u64,
    /// Room that an ordinary process has left on the disk of the buffer.
    pub disk_free_bytes: u64,
}

impl Process {
    /// This process, and the disk of this folder; what cannot be read is 0.
    pub fn now(folder: &Path) -> Self {
        Self {
            resident_bytes: resident().unwrap_or(0),
            cpu_ticks: cpu().unwrap_or(0),
            disk_free_bytes: rustix::fs::statvfs(folder)
                .map_or(0, |disk| disk.f_bavail.saturating_mul(disk.f_frsize)),
        }
    }
}

/// `VmRSS` of proc_pid_status(5), in kB.
fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// `utime` and `stime` of proc_pid_stat(5), fields 14 and 15; 100 ticks a second on every Linux.
fn cpu() -> Option<u64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name may have anything in it, brackets too.
    let mut fields = stat.rsplit(')').next()?.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_a_disk() {
        let began = std::time::Instant::now();
        while began.elapsed().as_millis() < 50 {
            std::hint::spin_loop();
        }
        let process = Process::now(Path::new("."));
        assert!(process.resident_bytes > 100_000 && process.resident_bytes < 1 << 40);
        assert!(process.cpu_ticks > 0 && process.disk_free_bytes > 0);
        assert_eq!(
            Process::now(Path::new("/nowhere/at/all")).disk_free_bytes,
            0
        );
    }
}
