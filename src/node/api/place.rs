//! Where is a node, and what is near what?
//!
//! A node is one place: all drives share its host, and virtual machines are somebody else's business.

use super::fault::Fault;
use super::filter::Filtered;
use super::page::Page;
use super::routes::Asked;
use super::sharing::Permission;
use super::wire::object;
use super::{Answer, BASE};
use serde_json::{Value, json};
use uuid::Uuid;

/// `GET /drives/availability_groups/`: lists of drives that share a host.
pub fn groups(asked: &Asked<'_>) -> Result<Answer, Fault> {
    let all = together(asked);
    let groups: Vec<Value> = if all.is_empty() { Vec::new() } else { vec![all.into()] };
    Ok(Answer::json(200, groups.into()))
}

/// `GET /drives/availability_groups/{uuid}/`: the drives that share a host with that one.
pub fn group_of(asked: &Asked<'_>) -> Result<Answer, Fault> {
    asked.view.find(&asked.api.drives, asked.uuid()?, Permission::List)?;
    Ok(Answer::json(200, together(asked).into()))
}

fn together(asked: &Asked<'_>) -> Vec<String> {
    asked.view.all(&asked.api.drives).iter().map(|own| asked.view.seen(own).uuid().to_string()).collect()
}

/// `GET /servers/` and the like: there are none.
pub fn no_servers(asked: &Asked<'_>) -> Result<Answer, Fault> {
    let page = Page::of(&asked.call.parameters)?;
    Ok(Answer::json(200, page.envelope(&[], |_: &Uuid| Ok(None))?))
}

/// `GET /servers/availability_groups/`
pub fn no_groups(_asked: &Asked<'_>) -> Result<Answer, Fault> {
    Ok(Answer::json(200, json!([])))
}

/// `GET /locations/`: here, and where remote snapshots can be.
pub fn locations(asked: &Asked<'_>) -> Result<Answer, Fault> {
    let page = Page::of(&asked.call.parameters)?;
    let mut all = vec![("LOCAL", "This node")];
    all.extend(asked.api.remotes.locations().codes().map(|code| (code, code)));
    let shown =
        |(id, name): &(&str, &str)| Ok(Some(object(json!({"api_endpoint": format!("{BASE}/"), "display_name": name, "id": id}))));
    Ok(Answer::json(200, page.envelope(&all, shown)?))
}
