//! One guest: from its plan to its end.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::{Disk, initramfs::Archive};

/// What a guest is made of. Beside it there are always busybox and an empty `/tmp`.
#[derive(Debug, Default)]
pub struct Plan {
    /// Files that it finds, from the root.
    pub archive: Archive,
    /// Kernel modules that are loaded before the script runs, with those they depend on.
    pub modules: Vec<String>,
    /// A shell script for busybox; its exit status is the guest's.
    pub script: String,
    /// Memory in MiB.
    pub memory: u32,
    /// A disk, which the script finds under `/disk`.
    pub disk: Option<Disk>,
    /// Whether the script reaches this machine, as 10.0.2.2.
    pub network: bool,
}

/// A guest that runs. It is killed when this value is dropped.
#[derive(Debug)]
pub struct Guest {
    qemu: Child,
    console: ChildStdin,
    lines: mpsc::Receiver<String>,
    said: Vec<String>,
    _folder: tempfile::TempDir,
}

/// What the script's exit status is told by.
const END: &str = "guest: end ";

/// Where `scripts/guest` puts kernel, modules and programs; or why there is nothing.
pub(crate) fn home() -> Result<PathBuf, String> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.patio/guest");
    if home.join("form").is_file() {
        Ok(home)
    } else {
        Err("there is no guest kernel (scripts/guest brings it)".to_owned())
    }
}

impl Plan {
    /// A plan with a script and the modules that it needs, or why no guest can be had on this machine.
    pub fn new(modules: &[&str], script: impl Into<String>) -> Result<Self, String> {
        home()?;
        Ok(Self {
            modules: modules.iter().map(|&name| name.to_owned()).collect(),
            script: script.into(),
            memory: 256,
            ..Self::default()
        })
    }

    /// Adds a program that `scripts/guest` has unpacked, under `/bin`.
    pub fn debian_program(&mut self, name: &str) -> Result<()> {
        let home = home().map_err(anyhow::Error::msg)?;
        let path = Path::new("/bin").join(name);
        self.archive.program(&home.join("bin").join(name), &path)
    }

    fn init(&self, home: &Path) -> Result<String> {
        let mut modules: Vec<&str> = self.modules.iter().map(String::as_str).collect();
        if self.network {
            modules.extend(["virtio_pci", "virtio_net"]);
        }
        if self.disk.is_some() {
            modules.extend(["virtio_pci", "virtio_blk", "crc32c_generic", "ext4"]);
        }
        let mut init = "#!/bin/busybox sh\n\
            /bin/busybox mkdir -p /proc /sys /dev /tmp\n\
            /bin/busybox mount -t proc none /proc\n\
            /bin/busybox mount -t sysfs none /sys\n\
            /bin/busybox mount -t devtmpfs none /dev\n\
            /bin/busybox mount -t tmpfs none /tmp\n\
            /bin/busybox --install -s /bin\n\
            export PATH=/bin HOME=/tmp\n\
            ip link set lo up\n"
            .to_owned();
        for module in in_order(home, &modules)? {
            let _ = writeln!(init, "insmod /modules/{module}.ko");
        }
        if self.network {
            init.push_str(
                "ip link set eth0 up\nip addr add 10.0.2.15/24 dev eth0\nip route add default via 10.0.2.2\n",
            );
        }
        if self.disk.is_some() {
            init.push_str("mount -t ext4 /dev/vda /disk || echo 'guest: no disk'\n");
        }
        let _ = write!(
            init,
            "sh /script\nstatus=$?\ncd /\n{umount}sync\necho \"{END}$status\"\npoweroff -f\n",
            umount = if self.disk.is_some() {
                "umount /disk\n"
            } else {
                ""
            },
        );
        Ok(init)
    }
}

impl Guest {
    /// Boots. What the script prints comes line by line from [`Guest::line`].
    pub fn boot(mut plan: Plan) -> Result<Self> {
        let home = home().map_err(anyhow::Error::msg)?;
        let init = plan.init(&home)?;
        plan.debian_program("busybox")?;
        let mut archive = plan.archive;
        for module in init.lines().filter_map(|line| line.strip_prefix("insmod ")) {
            let path = home
                .join("modules")
                .join(module.trim_start_matches("/modules/"));
            archive.file(Path::new(module), &fs::read(path)?);
        }
        archive.folder(Path::new("/disk"));
        archive.file(Path::new("/init"), init.as_bytes());
        archive.file(Path::new("/script"), plan.script.as_bytes());
        let folder = tempfile::tempdir()?;
        let initramfs = folder.path().join("initramfs");
        fs::write(&initramfs, archive.finish())?;

        let mut command = Command::new("qemu-system-x86_64");
        command
            .args([
                "-nodefaults",
                "-no-reboot",
                "-display",
                "none",
                "-serial",
                "stdio",
                "-accel",
                "tcg",
            ])
            .args(["-m", &plan.memory.to_string()])
            // The kernel's test of its timer counts ticks in a time that it measures by loops: on a busy machine the
            // emulated timer does not keep up, and it panics ("IO-APIC + timer doesn't work"). The rate of the time stamp
            // counter is measured by loops, too, and then wrong; the HPET says its own, and keeps it.
            .args([
                "-append",
                "console=ttyS0 quiet panic=-1 no_timer_check clocksource=hpet tsc=unstable",
            ])
            .arg("-kernel")
            .arg(home.join("vmlinuz"))
            .arg("-initrd")
            .arg(&initramfs);
        if let Some(disk) = &plan.disk {
            // What the guest has flushed is on the disk, what it has not dies with it.
            command.args([
                "-drive",
                &format!(
                    "file={},if=virtio,format=raw,cache=writeback",
                    disk.path().display()
                ),
            ]);
        }
        if plan.network {
            command.args(["-nic", "user,model=virtio-net-pci"]);
        }
        let mut qemu = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .context("qemu-system-x86_64 (scripts/guest installs it)")?;
        let console = qemu.stdin.take().context("standard input is piped")?;
        let output = qemu.stdout.take().context("standard output is piped")?;
        // A guest that nobody reads waits, as on a real serial line.
        let (line, lines) = mpsc::sync_channel(1000);
        std::thread::spawn(move || {
            for text in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                let text = String::from_utf8_lossy(&text).trim_end().to_owned();
                if line.send(text).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            qemu,
            console,
            lines,
            said: Vec::new(),
            _folder: folder,
        })
    }

    /// The next line on the console; `None` when there is none within this time, or the guest has ended.
    pub fn line(&mut self, within: Duration) -> Option<String> {
        let line = self.lines.recv_timeout(within).ok()?;
        self.said.push(line.clone());
        Some(line)
    }

    /// Waits for a line that begins with `prefix` and returns the rest of it; errors show the console.
    pub fn wait_for(&mut self, prefix: &str, within: Duration) -> Result<String> {
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(line) = self.line(left) else {
                bail!(
                    "the guest did not say `{prefix}` within {} s:\n{}",
                    within.as_secs(),
                    self.said.join("\n")
                );
            };
            if let Some(rest) = line.strip_prefix(prefix) {
                return Ok(rest.trim().to_owned());
            }
        }
    }

    /// Writes a line on its console, where the script may read it.
    pub fn say(&mut self, line: &str) -> Result<()> {
        Ok(self.console.write_all(format!("{line}\n").as_bytes())?)
    }

    /// Cuts its power: nothing is flushed, nothing is told.
    pub fn cut_power(mut self) -> Result<()> {
        self.qemu.kill()?;
        self.qemu.wait()?;
        Ok(())
    }

    /// Waits until the script has ended, and the guest with it; its exit status, and what was said since the last line read.
    pub fn ended(&mut self, within: Duration) -> Result<(i32, Vec<String>)> {
        let from = self.said.len();
        let status = self.wait_for(END, within)?;
        self.qemu.wait()?;
        let said = self.said[from..self.said.len() - 1].to_vec();
        Ok((status.parse().with_context(|| status.clone())?, said))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

/// These modules and all that they depend on, each after those; what the kernel has built in is no file and needs none.
fn in_order(home: &Path, modules: &[&str]) -> Result<Vec<String>> {
    fn visit(
        home: &Path,
        name: &str,
        seen: &mut BTreeSet<String>,
        order: &mut Vec<String>,
    ) -> Result<()> {
        let path = home.join("modules").join(format!("{name}.ko"));
        if !seen.insert(name.to_owned()) || !path.is_file() {
            return Ok(());
        }
        let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
        for dependency in dependencies(&bytes) {
            visit(home, &dependency, seen, order)?;
        }
        order.push(name.to_owned());
        Ok(())
    }
    let mut order = Vec::new();
    let mut seen = BTreeSet::new();
    for module in modules {
        visit(home, module, &mut seen, &mut order)?;
    }
    Ok(order)
}

/// The field `depends` in a module's `.modinfo`: names with commas between. A file calls `-` what the field may call `_`.
fn dependencies(module: &[u8]) -> Vec<String> {
    const FIELD: &[u8] = b"\0depends=";
    let Some(at) = module
        .windows(FIELD.len())
        .position(|window| window == FIELD)
    else {
        return Vec::new();
    };
    let text = module[at + FIELD.len()..].split(|&byte| byte == 0).next();
    String::from_utf8_lossy(text.unwrap_or_default())
        .split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_says_what_it_needs() {
        assert_eq!(
            dependencies(b"x\0license=GPL\0depends=can-dev,can\0name=y\0"),
            ["can-dev", "can"]
        );
        assert!(dependencies(b"\0depends=\0").is_empty());
        assert!(dependencies(b"no field").is_empty());
    }

    #[test]
    fn a_guest_says_what_its_script_says_and_keeps_what_it_has_flushed() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::new(&folder.path().join("disk"), 16).unwrap();
        let plan = |script: &str| {
            let mut plan = Plan::new(&[], script)?;
            plan.disk = Some(disk.clone());
            Ok::<_, String>(plan)
        };
        let first = match plan(
            "echo kept >/disk/kept; sync; echo lost >/disk/lost; echo hello; read x; exit 7",
        ) {
            Ok(plan) => plan,
            Err(why) => {
                eprintln!("skipped: {why}");
                return;
            }
        };
        let mut guest = Guest::boot(first).unwrap();
        guest.wait_for("hello", Duration::from_secs(60)).unwrap();
        guest.cut_power().unwrap();

        let mut guest =
            Guest::boot(plan("cat /disk/kept /disk/lost; read x; echo $x; exit 7").unwrap())
                .unwrap();
        guest.wait_for("kept", Duration::from_secs(60)).unwrap();
        guest.say("go on").unwrap();
        let (status, said) = guest.ended(Duration::from_secs(60)).unwrap();
        assert_eq!(status, 7);
        assert!(said.iter().any(|line| line == "go on"), "{said:?}");
        assert!(!said.iter().any(|line| line == "lost"), "{said:?}");

        let copy = folder.path().join("copy");
        fs::create_dir(&copy).unwrap();
        disk.copy_out("/", &copy).unwrap();
        assert_eq!(fs::read_to_string(copy.join("kept")).unwrap(), "kept\n");
    }
}
