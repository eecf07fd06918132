//! What did a check find, and how is it said?

use std::fmt;

/// How many problems a report names; the rest are only counted.
pub const PROBLEMS_MAX: usize = 1000;

/// Which rule of the format is broken.
///
/// ```
/// assert_eq!(floe::ProblemKind::Leak.name(), "leak");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ProblemKind {
    /// The system could not read a page that the store needs.
    Unreadable,
    /// A page's magic, checksum, number, kind, level, count or padding is wrong, or it is not the page its pointer names.
    PageDamaged,
    /// A pointer names a block that cannot hold a tree page: in a group's header, or behind the end of the store.
    BadPointer,
    /// A page says that it was written by a commit that has not happened.
    WrongGeneration,
    /// A page of a tree has no entries.
    EmptyPage,
    /// Keys do not rise, or a page holds keys that its parent promises elsewhere.
    KeyOrder,
    /// A birth is 0, later than the version that holds it was frozen, or newer than the page that leads to it although a
    /// freeze lies between the two. In the catalog and the group tree: a birth that is not 0.
    BirthOutOfInterval,
    /// Two extents of one table map the same block of the drive.
    ExtentOverlap,
    /// Two neighbouring extents continue each other and should be one.
    ExtentUnmerged,
    /// An extent is empty, lies behind the end of its image, or does not lie in the places of one group.
    ExtentOutOfRange,
    /// A birth histogram does not say what its table holds, or has an empty or malformed bucket.
    WrongHistogram,
    /// A stored count is not what counting yields: a version's referenced blocks, a group's places in use, the
    /// superblock's data blocks, tree pages and places for them.
    WrongSize,
    /// A record of the catalog cannot be decoded, stands under a wrong key, or holds impossible values.
    BadRecord,
    /// The attributes of a drive or snapshot, or the bytes of a note, are not all there, too many, or belong to nothing.
    BadAttributes,
    /// Drives, versions, snapshots and bookmarks do not fit together: a parent that is missing or not older, a cycle, a
    /// head without its drive, a snapshot without its record, a junction that joins fewer than two versions.
    DanglingHistory,
    /// A version holds a block or page from before its own interval that the snapshot above it does not hold in that place.
    NotInherited,
    /// A block or page is held twice in a way that no history explains.
    DoubleUse,
    /// A block or page is in use, and its group's bitmap says that it is free.
    NotAllocated,
    /// A group's bitmap says that places are in use, and nothing reaches them. Not judged when a damaged page or record
    /// hides what it leads to.
    Leak,
    /// A group's record is impossible, its places hold what they must not, or data in use has no page of checksums.
    BadGroup,
}

impl ProblemKind {
    /// The kind's stable name, for machines: `double_use`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::PageDamaged => "page_damaged",
            Self::BadPointer => "bad_pointer",
            Self::WrongGeneration => "wrong_generation",
            Self::EmptyPage => "empty_page",
            Self::KeyOrder => "key_order",
            Self::BirthOutOfInterval => "birth_out_of_interval",
            Self::ExtentOverlap => "extent_overlap",
            Self::ExtentUnmerged => "extent_unmerged",
            Self::ExtentOutOfRange => "extent_out_of_range",
            Self::WrongHistogram => "wrong_histogram",
            Self::WrongSize => "wrong_size",
            Self::BadRecord => "bad_record",
            Self::BadAttributes => "bad_attributes",
            Self::DanglingHistory => "dangling_history",
            Self::NotInherited => "not_inherited",
            Self::DoubleUse => "double_use",
            Self::NotAllocated => "not_allocated",
            Self::Leak => "leak",
            Self::BadGroup => "bad_group",
        }
    }
}

impl fmt::Display for ProblemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One broken rule, and where.
///
/// ```
/// # fn main() -> floe::Result<()> {
/// # let store = floe::Store::options().create_on(std::sync::Arc::new(floe::MemoryDevice::new(1 << 30).unwrap()))?;
/// for problem in store.check()?.problems {
///     eprintln!("{problem}"); // page_damaged: table of version 6 (snapshot "s2"), page 262: wrong checksum
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The rule.
    pub kind: ProblemKind,
    /// Which drive, snapshot, page, block or group, for people.
    pub place: String,
    /// What is there and what should be, for people.
    pub detail: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.kind, self.place, self.detail)
    }
}

/// What a check saw, and every rule that it found broken.
///
/// ```
/// # fn main() -> floe::Result<()> {
/// # let store = floe::Store::options().create_on(std::sync::Arc::new(floe::MemoryDevice::new(1 << 30).unwrap()))?;
/// let report = store.check()?;
/// assert!(report.is_clean());
/// println!("{report}");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CheckReport {
    /// The problems, in the order in which they were found; at most the first 1000.
    pub problems: Vec<Problem>,
    /// How many problems there are, named or not.
    pub problems_total: u64,
    /// Tree pages that something reaches, each counted once.
    pub tree_pages: u64,
    /// Data blocks that some version holds, each counted once.
    pub data_blocks: u64,
    /// Extents in the leaves of all tables, each leaf counted once.
    pub extents: u64,
    /// Drives.
    pub drives: u64,
    /// Snapshots.
    pub snapshots: u64,
    /// Bookmarks.
    pub bookmarks: u64,
    /// Notes.
    pub notes: u64,
    /// Deleted versions that still hold something or join others.
    pub condemned: u64,
    /// Groups in use.
    pub groups: u64,
}

impl CheckReport {
    /// Is everything as it must be?
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.problems_total == 0
    }
}

impl fmt::Display for CheckReport {
    /// A line per problem, then a line that counts them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "{problem}")?;
        }
        write!(f, "{} problems in {} tree pages and {} data blocks", self.problems_total, self.tree_pages, self.data_blocks)
    }
}

/// How far a check is: first it walks trees, then it compares bitmaps group by group.
///
/// ```
/// # fn main() -> floe::Result<()> {
/// # let store = floe::Store::options().create_on(std::sync::Arc::new(floe::MemoryDevice::new(1 << 30).unwrap()))?;
/// store.check_with(&mut |progress| {
///     println!("{} of {} pages", progress.pages_done, progress.pages_total);
/// })?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckProgress {
    /// Distinct tree pages walked so far.
    pub pages_done: u64,
    /// Tree pages in the store, as its superblock says.
    pub pages_total: u64,
    /// Groups compared so far.
    pub groups_done: u64,
    /// Groups in use.
    pub groups_total: u64,
}

/// Where problems are gathered.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) report: CheckReport,
    /// Something could not be followed, so what nothing reaches is not thereby lost.
    pub(super) incomplete: bool,
}

impl Findings {
    /// Adds a problem.
    pub(super) fn add(&mut self, kind: ProblemKind, place: impl fmt::Display, detail: impl fmt::Display) {
        self.report.problems_total += 1;
        if self.report.problems.len() < PROBLEMS_MAX {
            self.report.problems.push(Problem { kind, place: place.to_string(), detail: detail.to_string() });
        }
    }

    /// Adds a problem that hides what lies behind it.
    pub(super) fn lost(&mut self, kind: ProblemKind, place: impl fmt::Display, detail: impl fmt::Display) {
        self.incomplete = true;
        self.add(kind, place, detail);
    }
}
