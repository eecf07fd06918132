//! Which page of a collection does a client see?

use super::Answer;
use super::body::Object;
use super::fault::Fault;
use super::filter::Filter;
use super::page::Page;
use super::routes::Asked;
use super::shelf::{Item, Own};
use super::wire::MORE;
use serde_json::Value;
use std::sync::Arc;

impl Asked<'_> {
    /// The page that is asked for of what the filters leave; `more` is for those who name [`MORE`].
    ///
    /// # Errors
    /// 400, and those of making the objects.
    pub(super) fn listing<H: Item>(
        &self,
        mut found: Vec<Arc<Own<H>>>,
        object: impl Fn(&Own<H>) -> Result<Option<Object>, Fault>,
        more: impl Fn(&Own<H>) -> Result<Value, Fault>,
    ) -> Result<Answer, Fault> {
        let page = Page::of(&self.call.parameters)?;
        let filter = Filter::of(&self.call.parameters);
        found.retain(|own| filter.fits(&self.view.seen(own)));
        let shown = |own: &Arc<Own<H>>| {
            let mut shown = object(own)?;
            if let Some(shown) = shown.as_mut().filter(|_| page.names(MORE)) {
                shown.insert(MORE.into(), more(own)?);
            }
            Ok(shown)
        };
        Ok(Answer::json(200, page.envelope(&found, shown)?))
    }
}
