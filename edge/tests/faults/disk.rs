//! A disk that can be asked to forget what was not synced, to tear sectors, to be full, to fail and to refuse writing: a SQLite
//! VFS over real files. It is the default of this test program, so the ledger under test knows nothing of it.
//!
//! The one place with unsafe code: SQLite calls a VFS through C function pointers. The rules that it relies on are those of
//! <https://www.sqlite.org/c3ref/io_methods.html>: a file's memory is ours from xOpen (if it sets `pMethods`) to
//! xClose, buffers are valid for the length given, names are NUL-terminated.
#![allow(unsafe_code, reason = "SQLite calls a VFS through C function pointers")]

use std::{
    collections::{BTreeMap, HashMap},
    ffi::{CStr, OsStr, c_char, c_int, c_void},
    fs,
    os::unix::{ffi::OsStrExt as _, fs::FileExt as _},
    path::{Path, PathBuf},
    ptr,
    sync::{Arc, Mutex, MutexGuard, Once},
};

use rusqlite::ffi;

use super::rig::Chance;

const SECTOR: usize = 512;

/// A change to a file that no sync has made durable.
#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

#[derive(Clone, Debug, Default)]
struct Kept {
    durable: Vec<u8>,
    changes: Vec<Change>,
}

fn apply(content: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Length(length) => content.resize(*length, 0),
        Change::Write(at, bytes) => {
            let end = at + bytes.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            content[*at..end].copy_from_slice(bytes);
        }
    }
}

/// What would be on the disk if the power went now: files, and how far the test had come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Image {
    files: BTreeMap<PathBuf, Kept>,
    /// [`Disk::told`] at that moment.
    pub(crate) told: usize,
}

impl Image {
    /// Writes the files into another folder as they may be after the power came back: of what was not synced some sectors
    /// are there and some are not. Or all are: then it was the process that was killed.
    pub(crate) fn write(&self, folder: &Path, chance: &mut Chance) {
        let mood = chance.below(4);
        for (path, kept) in &self.files {
            let mut content = kept.durable.clone();
            for change in &kept.changes {
                let mut happens = || match mood {
                    0 => false,
                    1 => chance.below(2) == 0,
                    2 => chance.below(8) != 0,
                    _ => true,
                };
                match change {
                    Change::Length(_) if happens() => apply(&mut content, change),
                    Change::Length(_) => {}
                    Change::Write(at, bytes) => {
                        let mut from = 0;
                        while from < bytes.len() {
                            let to = bytes.len().min((at + from) / SECTOR * SECTOR + SECTOR - at);
                            if happens() {
                                let part = bytes[from..to].to_vec();
                                apply(&mut content, &Change::Write(at + from, part));
                            }
                            from = to;
                        }
                    }
                }
            }
            fs::write(folder.join(path.file_name().unwrap()), content).unwrap();
        }
    }
}

/// A folder's disk.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    files: BTreeMap<PathBuf, Kept>,
    /// Syncs and writes so far, and the bytes of the writes.
    pub(crate) syncs: u64,
    pub(crate) operations: u64,
    pub(crate) written: u64,
    /// The image is kept when so many operations have happened.
    pub(crate) cut_at: Option<u64>,
    pub(crate) image: Option<Image>,
    /// How far the test has come: what it was told to be durable.
    pub(crate) told: usize,
    /// Bytes that the folder holds at most.
    pub(crate) room: Option<u64>,
    /// So many of the next operations fail.
    pub(crate) failing: u64,
    /// From this operation on all of them fail; and whether files cannot be opened either.
    pub(crate) failing_from: Option<u64>,
    pub(crate) gone: bool,
    /// Whoever comes waits until this is over.
    pub(crate) hanging: bool,
    pub(crate) read_only: bool,
}

impl Disk {
    fn operation(&mut self) -> c_int {
        self.operations += 1;
        if self.cut_at.is_some_and(|at| at <= self.operations) && self.image.is_none() {
            self.image = Some(self.now());
        }
        if self.read_only {
            return ffi::SQLITE_READONLY;
        }
        if self.is_failing() {
            return ffi::SQLITE_IOERR;
        }
        if self.failing > 0 {
            self.failing -= 1;
            return ffi::SQLITE_IOERR;
        }
        ffi::SQLITE_OK
    }

    fn is_failing(&self) -> bool {
        self.failing_from
            .is_some_and(|from| from <= self.operations)
    }

    /// The image of this moment.
    pub(crate) fn now(&self) -> Image {
        Image {
            files: self.files.clone(),
            told: self.told,
        }
    }

    fn grows_too_long(&self, path: &Path, end: u64) -> bool {
        let Some(room) = self.room else { return false };
        let folder = path.parent().and_then(|folder| fs::read_dir(folder).ok());
        let lengths = folder.into_iter().flatten().flatten().map(|entry| {
            let length = entry.metadata().map_or(0, |found| found.len());
            if entry.path() == path {
                length.max(end)
            } else {
                length
            }
        });
        let length = fs::metadata(path).map_or(0, |found| found.len());
        end > length && lengths.sum::<u64>() > room
    }
}

type Disks = HashMap<PathBuf, Arc<Mutex<Disk>>>;
static DISKS: Mutex<Option<Disks>> = Mutex::new(None);

fn disks() -> MutexGuard<'static, Option<Disks>> {
    DISKS.lock().unwrap()
}

/// Puts the files of a folder onto a disk of their own.
pub(crate) fn under(folder: &Path) -> Arc<Mutex<Disk>> {
    install();
    let disk = Arc::new(Mutex::new(Disk::default()));
    disks()
        .get_or_insert_default()
        .insert(folder.to_owned(), disk.clone());
    disk
}

fn disk_of(path: &Path) -> Option<Arc<Mutex<Disk>>> {
    disks().as_ref()?.get(path.parent()?).cloned()
}

/// The disk, once it does not hang.
fn let_go(disk: &Mutex<Disk>) -> MutexGuard<'_, Disk> {
    loop {
        let guard = disk.lock().unwrap();
        if !guard.hanging {
            return guard;
        }
        drop(guard);
        std::thread::park_timeout(std::time::Duration::from_millis(5));
    }
}

#[repr(C)]
struct Handle {
    base: ffi::sqlite3_file,
    open: *mut Open,
}

struct Open {
    path: PathBuf,
    file: fs::File,
    disk: Option<Arc<Mutex<Disk>>>,
    delete: bool,
}

impl Open {
    /// Lets the disk say whether a change happens, and remembers it.
    fn change(&self, change: &Change) -> c_int {
        if let Some(disk) = &self.disk {
            let mut disk = let_go(disk);
            let code = disk.operation();
            if code != ffi::SQLITE_OK {
                return code;
            }
            if let Change::Write(at, bytes) = change {
                if disk.grows_too_long(&self.path, (at + bytes.len()) as u64) {
                    return ffi::SQLITE_FULL;
                }
                disk.written += bytes.len() as u64;
            }
            let kept = disk.files.entry(self.path.clone()).or_default();
            kept.changes.push(change.clone());
        }
        let done = match change {
            Change::Write(at, bytes) => self.file.write_all_at(bytes, *at as u64),
            Change::Length(length) => self.file.set_len(*length as u64),
        };
        if done.is_ok() {
            ffi::SQLITE_OK
        } else {
            ffi::SQLITE_IOERR
        }
    }

    fn sync(&self) -> c_int {
        let Some(disk) = &self.disk else {
            return ffi::SQLITE_OK;
        };
        let mut disk = let_go(disk);
        let code = disk.operation();
        if code == ffi::SQLITE_OK {
            disk.syncs += 1;
            let kept = disk.files.entry(self.path.clone()).or_default();
            for change in std::mem::take(&mut kept.changes) {
                apply(&mut kept.durable, &change);
            }
        }
        code
    }
}

/// # Safety
/// `file` is one that `open` has filled.
unsafe fn opened<'a>(file: *mut ffi::sqlite3_file) -> &'a Open {
    unsafe { &*(*file.cast::<Handle>()).open }
}

unsafe fn name_of(name: *const c_char) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(
        unsafe { CStr::from_ptr(name) }.to_bytes(),
    ))
}

unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    unsafe { (*file).pMethods = ptr::null() };
    let (path, opened) = if name.is_null() {
        (PathBuf::new(), tempfile::tempfile())
    } else {
        let path = unsafe { name_of(name) };
        let create = flags & ffi::SQLITE_OPEN_CREATE != 0;
        let write = flags & ffi::SQLITE_OPEN_READWRITE != 0;
        let opened = fs::OpenOptions::new()
            .read(true)
            .write(write)
            .create(create && write)
            .open(&path);
        (path, opened)
    };
    let disk = disk_of(&path);
    if let Some(disk) = &disk {
        let mut disk = disk.lock().unwrap();
        if disk.gone && disk.is_failing() {
            return ffi::SQLITE_CANTOPEN;
        }
        if disk.read_only && flags & ffi::SQLITE_OPEN_READWRITE != 0 {
            return ffi::SQLITE_CANTOPEN;
        }
        let before = fs::read(&path).unwrap_or_default();
        disk.files.entry(path.clone()).or_insert_with(|| Kept {
            durable: before,
            changes: Vec::new(),
        });
    }
    let Ok(opened) = opened else {
        return ffi::SQLITE_CANTOPEN;
    };
    let open = Box::new(Open {
        path,
        file: opened,
        disk,
        delete: flags & ffi::SQLITE_OPEN_DELETEONCLOSE != 0,
    });
    unsafe {
        (*file.cast::<Handle>()).open = Box::into_raw(open);
        (*file).pMethods = &raw const METHODS;
        if !out_flags.is_null() {
            *out_flags = flags;
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn delete(_: *mut ffi::sqlite3_vfs, name: *const c_char, _: c_int) -> c_int {
    let path = unsafe { name_of(name) };
    if let Some(disk) = disk_of(&path) {
        let mut disk = disk.lock().unwrap();
        let code = disk.operation();
        if code != ffi::SQLITE_OK {
            return code;
        }
        disk.files.remove(&path);
    }
    match fs::remove_file(path) {
        Ok(()) => ffi::SQLITE_OK,
        Err(_) => ffi::SQLITE_IOERR_DELETE_NOENT,
    }
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    let open = unsafe { Box::from_raw((*file.cast::<Handle>()).open) };
    if open.delete {
        let _ = fs::remove_file(&open.path);
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(
    file: *mut ffi::sqlite3_file,
    into: *mut c_void,
    amount: c_int,
    from: ffi::sqlite3_int64,
) -> c_int {
    let bytes = unsafe { std::slice::from_raw_parts_mut(into.cast::<u8>(), amount as usize) };
    let mut filled = 0;
    while filled < bytes.len() {
        match unsafe { opened(file) }
            .file
            .read_at(&mut bytes[filled..], from as u64 + filled as u64)
        {
            Ok(0) => {
                bytes[filled..].fill(0);
                return ffi::SQLITE_IOERR_SHORT_READ;
            }
            Ok(read) => filled += read,
            Err(_) => return ffi::SQLITE_IOERR_READ,
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    from: *const c_void,
    amount: c_int,
    at: ffi::sqlite3_int64,
) -> c_int {
    let bytes = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), amount as usize) };
    unsafe { opened(file) }.change(&Change::Write(at as usize, bytes.to_vec()))
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: ffi::sqlite3_int64) -> c_int {
    unsafe { opened(file) }.change(&Change::Length(size as usize))
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    unsafe { opened(file) }.sync()
}

unsafe extern "C" fn size(file: *mut ffi::sqlite3_file, size: *mut ffi::sqlite3_int64) -> c_int {
    match unsafe { opened(file) }.file.metadata() {
        Ok(found) => {
            unsafe { *size = found.len() as ffi::sqlite3_int64 };
            ffi::SQLITE_OK
        }
        Err(_) => ffi::SQLITE_IOERR_FSTAT,
    }
}

unsafe extern "C" fn lock(_: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    ffi::SQLITE_OK
}

unsafe extern "C" fn is_locked(_: *mut ffi::sqlite3_file, found: *mut c_int) -> c_int {
    unsafe { *found = 0 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn control(_: *mut ffi::sqlite3_file, _: c_int, _: *mut c_void) -> c_int {
    ffi::SQLITE_NOTFOUND
}

unsafe extern "C" fn sector(_: *mut ffi::sqlite3_file) -> c_int {
    4096
}

/// As on the real disk: a write does not harm its neighbours.
unsafe extern "C" fn characteristics(_: *mut ffi::sqlite3_file) -> c_int {
    ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE
}

/// Version 1: without shared memory, which a database with one process does not need.
static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 1,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(size),
    xLock: Some(lock),
    xUnlock: Some(lock),
    xCheckReservedLock: Some(is_locked),
    xFileControl: Some(control),
    xSectorSize: Some(sector),
    xDeviceCharacteristics: Some(characteristics),
    xShmMap: None,
    xShmLock: None,
    xShmBarrier: None,
    xShmUnmap: None,
    xFetch: None,
    xUnfetch: None,
};

/// Makes this the VFS of every database that is opened from now on.
fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| unsafe {
        // What is not overridden is that of the system's VFS, which keeps no state of its own in these.
        let mut vfs = *ffi::sqlite3_vfs_find(ptr::null());
        vfs.szOsFile = size_of::<Handle>() as c_int;
        vfs.pNext = ptr::null_mut();
        vfs.zName = c"faults".as_ptr();
        vfs.xOpen = Some(open);
        vfs.xDelete = Some(delete);
        let vfs = Box::leak(Box::new(vfs));
        assert_eq!(ffi::sqlite3_vfs_register(vfs, 1), ffi::SQLITE_OK);
    });
}
