//! What can be done with bookmarks?

use crate::node::failure::Failure;
use crate::node::service::objects::{BookmarkView, present};
use crate::{Bookmark, Drive, Store};
use uuid::Uuid;

/// All bookmarks, or those of one drive.
///
/// # Errors
/// `Io` and `Corrupt` from reading sizes.
pub fn list(store: &Store, drive: Option<Uuid>) -> Result<Vec<BookmarkView>, Failure> {
    let mut all = Vec::new();
    for owner in store.drives().into_iter().filter(|owner| drive.is_none_or(|uuid| owner.uuid() == uuid)) {
        for bookmark in present(owner.bookmarks())?.unwrap_or_default() {
            all.extend(present(BookmarkView::of(&bookmark, owner.uuid()))?);
        }
    }
    Ok(all)
}

/// A bookmark of the drive as it is now.
///
/// # Errors
/// `InvalidArgument` for a name that cannot be, `NoSpace`, `Io`.
pub fn create(drive: &Drive, name: &str) -> Result<BookmarkView, Failure> {
    Ok(BookmarkView::of(&drive.bookmark(name)?, drive.uuid())?)
}

/// Deletes the bookmark of `drive`, and returns what it was.
///
/// # Errors
/// `NotFound` if it was deleted meanwhile, `Io`.
pub fn delete(bookmark: &Bookmark, drive: Uuid) -> Result<BookmarkView, Failure> {
    let view = BookmarkView::of(bookmark, drive)?;
    bookmark.delete()?;
    Ok(view)
}
