//! Which fields does an object of the API have?
//!
//! One table per kind: schemas of collections and the OpenAPI document are made of it.

use super::account::WORD_BYTES_MAX;
use super::describe::NAME_BYTES_MAX;
use super::sharing::PERMISSION_NAMES;

/// What a field holds.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Text.
    Text,
    /// A whole number.
    Integer,
    /// Bytes of a drive, which may be asked for as text, too.
    Size,
    /// True or false.
    Flag,
    /// One of a few words.
    Word(&'static [&'static str]),
    /// Texts under names.
    Texts,
    /// Anything under names.
    Any,
    /// A list of anything.
    List,
    /// A list of objects with these fields.
    Objects(&'static [Field]),
    /// A list of accounts.
    People,
    /// An object with these fields.
    Object(&'static [Field]),
    /// Another object: where it is found, and its uuid.
    Reference,
    /// Several other objects.
    References,
}

/// A field.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub shape: Shape,
    /// What it is about.
    pub help: &'static str,
    /// Can it be null in an answer?
    pub nullable: bool,
    /// Does only the node say it?
    pub readonly: bool,
    /// Must it be said when one is made?
    pub required: bool,
    /// Does whoever says it say it in vain, whatever it is?
    pub ignored: bool,
    /// Can it be said only when one is made?
    pub fixed: bool,
    /// The most bytes of its text.
    pub bytes_max: Option<usize>,
    /// What it is if nobody says it, as JSON.
    pub default: &'static str,
}

impl Field {
    const fn new(name: &'static str, shape: Shape, help: &'static str) -> Self {
        Self {
            name,
            shape,
            help,
            nullable: false,
            readonly: false,
            required: false,
            ignored: false,
            fixed: false,
            bytes_max: None,
            default: NO_DEFAULT,
        }
    }

    const fn nullable(self) -> Self {
        Self { nullable: true, ..self }
    }

    const fn readonly(self) -> Self {
        Self { readonly: true, ..self }
    }

    const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    const fn ignored(self) -> Self {
        Self { ignored: true, ..self }
    }

    const fn fixed(self) -> Self {
        Self { fixed: true, ..self }
    }

    const fn at_most(self, bytes: usize) -> Self {
        Self { bytes_max: Some(bytes), ..self }
    }

    const fn or(self, default: &'static str) -> Self {
        Self { default, ..self }
    }
}

/// A kind of object.
#[derive(Debug)]
pub struct Kind {
    /// Its name in the OpenAPI document.
    pub name: &'static str,
    /// Its fields.
    pub fields: &'static [Field],
    /// Can a listing be filtered by name, tag and uuid?
    pub filters: &'static [&'static str],
}

const NO_DEFAULT: &str = "\"No default provided.\"";
const DATA: &str = "A list of data. Ex: ['abc', 26.73, 8]";
const MANY: &str = "Many related resources. Can be either a list of URIs or list of individually nested resource data.";

const FILTERS: &[&str] = &["name", "name__contains", "tag", "uuid"];

const META: Field = Field::new("meta", Shape::Texts, "User defined meta information").or("{}");
const GRANTEES: Field = Field::new("grantees", Shape::List, DATA).ignored();
const PERMISSIONS: Field = Field::new("permissions", Shape::List, DATA).ignored();
const TAGS: Field = Field::new("tags", Shape::References, MANY);
const URI: Field = Field::new("resource_uri", Shape::Text, "Unicode string data. Ex: \"Hello World\"").readonly().required();

/// What all kinds of snapshots have, as documented.
const FROZEN: [Field; 12] = [
    Field::new("allocated_size", Shape::Integer, "Physical size of the snapshot").nullable().readonly().required(),
    Field::new("drive", Shape::Reference, "Drive UUID").required().fixed().or("null"),
    GRANTEES,
    META,
    Field::new("name", Shape::Text, "Optional human readable name of the snapshot").at_most(NAME_BYTES_MAX).or("null"),
    Field::new("owner", Shape::Reference, "Owner of the snapshot").readonly().or("null"),
    PERMISSIONS,
    URI,
    Field::new("status", Shape::Text, "Status of the snapshot.").readonly().required(),
    TAGS,
    Field::new("timestamp", Shape::Text, "Timestamp of the snapshot creation").nullable().readonly().required().or("null"),
    Field::new("uuid", Shape::Text, "UUID of the snapshot").readonly().required().or("null"),
];

/// What remote ones have beside that.
const FROZEN_REMOTELY: [Field; FROZEN.len() + 3] = {
    let mut fields =
        [Field::new("location", Shape::Text, "Code of the location of the snapshot").fixed().or("null"); FROZEN.len() + 3];
    fields[0] = Field::new("drive_meta", Shape::Any, "Definition of the drive at the creation of the snapshot").readonly();
    fields[1] = Field::new("last_state_change", Shape::Text, "Timestamp of the last change of the status").readonly();
    let mut at = 0;
    while at < FROZEN.len() {
        fields[fields.len() - FROZEN.len() + at] = FROZEN[at];
        at += 1;
    }
    fields
};

const FROZEN_FILTERS: &[&str] = &["name", "name__contains", "tag", "uuid", "drive"];

/// Snapshots.
pub const SNAPSHOT: Kind = Kind { name: "Snapshot", fields: &FROZEN, filters: FROZEN_FILTERS };

/// Remote snapshots.
pub const REMOTE_SNAPSHOT: Kind = Kind { name: "RemoteSnapshot", fields: &FROZEN_REMOTELY, filters: FROZEN_FILTERS };

/// Drives.
pub const DRIVE: Kind = Kind {
    name: "Drive",
    fields: &[
        Field::new("affinities", Shape::List, "A list of affinities this drive should belong to").or("[]"),
        Field::new(
            "allow_multimount",
            Shape::Flag,
            "Allow the drive to be mounted on multiple guests. Not taken into account when drive is cdrom.",
        )
        .or("false"),
        GRANTEES,
        Field::new("jobs", Shape::References, "Background jobs related to this resource").readonly().required(),
        Field::new("licenses", Shape::List, "A list of licences attached to this drive").readonly().or("[]"),
        Field::new("media", Shape::Word(&["cdrom", "disk"]), "Media representation type").required().or("null"),
        META,
        Field::new("mounted_on", Shape::References, "Servers on which this drive is mounted on").readonly(),
        Field::new("name", Shape::Text, "Human readable name of the drive").at_most(NAME_BYTES_MAX).required().or("null"),
        Field::new("owner", Shape::Reference, "Owner of the drive").readonly().or("null"),
        PERMISSIONS,
        Field::new("remote_snapshots", Shape::References, "Drive's remote snapshots, newest first").readonly(),
        URI,
        Field::new(
            "runtime",
            Shape::Object(&[
                Field::new("is_snapshotable", Shape::Flag, "Specifies if the drive supports snapshots")
                    .nullable()
                    .readonly()
                    .required(),
                Field::new("snapshots_allocated_size", Shape::Integer, "Sum of the allocated size of this drive's snapshots")
                    .readonly()
                    .required(),
                Field::new("storage_type", Shape::Text, "Underlying storage").readonly().required(),
            ]),
            "Runtime information",
        )
        .readonly(),
        Field::new("size", Shape::Size, "Size of the drive in bytes").required().or("null"),
        Field::new("snapshots", Shape::References, "Drive's snapshots, newest first").readonly(),
        Field::new("status", Shape::Text, "Status of the drive.").readonly().required(),
        Field::new("storage_type", Shape::Word(&super::quota::STORAGE_TYPES), "Underlying storage").fixed().or("null"),
        TAGS,
        Field::new("uuid", Shape::Text, "UUID of the drive").readonly().required().or("null"),
    ],
    filters: FILTERS,
};

/// Drives as the short listing has them.
pub const DRIVE_IN_SHORT: Kind = Kind {
    name: "DriveInShort",
    fields: &[
        Field::new("owner", Shape::Reference, "Owner of the drive").readonly(),
        URI,
        Field::new("status", Shape::Text, "Status of the drive.").readonly().required(),
        Field::new("uuid", Shape::Text, "UUID of the drive").readonly().required(),
    ],
    filters: FILTERS,
};

/// Clones of snapshots as the answer that announces them has them: in all else they are drives.
pub const CLONE: Kind = Kind { name: "Clone", fields: DRIVE.fields, filters: &[] };

/// Tags.
pub const TAG: Kind = Kind {
    name: "Tag",
    fields: &[
        META,
        Field::new("name", Shape::Text, "Human readable name of the tag").at_most(NAME_BYTES_MAX).required().or("null"),
        Field::new("owner", Shape::Reference, "Owner of the tag").readonly().or("null"),
        URI,
        Field::new("resources", Shape::References, "What has the tag"),
        Field::new("uuid", Shape::Text, "UUID of the tag").readonly().required().or("null"),
    ],
    filters: &[],
};

/// ACLs.
pub const ACL: Kind = Kind {
    name: "Acl",
    fields: &[
        Field::new("grantees", Shape::People, "Accounts that the permissions are granted to, by uuid or email").or("[]"),
        META,
        Field::new("name", Shape::Text, "Human readable name of the ACL").at_most(NAME_BYTES_MAX).required().or("null"),
        Field::new("owner", Shape::Reference, "Owner of the ACL").readonly().or("null"),
        URI,
        Field::new(
            "rules",
            Shape::Objects(&[
                Field::new("permission", Shape::Word(&PERMISSION_NAMES), "LIST, EDIT, CLONE, ATTACH and others").required()
            ]),
            "Permissions that are granted",
        )
        .or("[]"),
        TAGS,
        Field::new("uuid", Shape::Text, "UUID of the ACL").readonly().required().or("null"),
    ],
    filters: &[],
};

/// Jobs.
pub const JOB: Kind = Kind {
    name: "Job",
    fields: &[
        Field::new("children", Shape::List, "Jobs that are part of this one").readonly(),
        Field::new("created", Shape::Text, "When it began").readonly(),
        Field::new("data", Shape::Any, "Its progress, 0 to 100, and why it failed").readonly(),
        Field::new("last_modified", Shape::Text, "When it last got further").readonly(),
        Field::new("operation", Shape::Text, "What is done").readonly(),
        URI,
        Field::new("resources", Shape::List, "What it is done with").readonly(),
        Field::new("state", Shape::Word(&["started", "success", "error"]), "Where it stands").readonly(),
        Field::new("uuid", Shape::Text, "UUID of the job").readonly().required(),
    ],
    filters: &["state"],
};

/// Places.
pub const LOCATION: Kind = Kind {
    name: "Location",
    fields: &[
        Field::new("api_endpoint", Shape::Text, "Where its API is").readonly(),
        Field::new("display_name", Shape::Text, "Its name for people").readonly(),
        Field::new("id", Shape::Text, "Its code").readonly(),
    ],
    filters: &[],
};

/// Virtual machines: there are none.
pub const SERVER: Kind =
    Kind { name: "Server", fields: &[URI, Field::new("uuid", Shape::Text, "UUID of the server").readonly()], filters: &[] };

/// What an account says of itself.
pub const PROFILE: Kind = Kind {
    name: "Profile",
    fields: &[
        Field::new("address", Shape::Text, "Street and number").at_most(WORD_BYTES_MAX),
        Field::new(
            "clone_naming",
            Shape::Word(&["NONE", "COUNTER", "DATE", "TIMESTAMP"]),
            "How clones are named that nobody gives a name",
        )
        .or("\"NONE\""),
        Field::new("company", Shape::Text, "Company").at_most(WORD_BYTES_MAX),
        Field::new("country", Shape::Text, "Country").at_most(WORD_BYTES_MAX),
        Field::new("currency", Shape::Text, "Currency of the account").readonly(),
        Field::new("email", Shape::Text, "By what the account logs in").readonly(),
        Field::new("first_name", Shape::Text, "First name").at_most(WORD_BYTES_MAX),
        Field::new("language", Shape::Text, "Language").at_most(WORD_BYTES_MAX),
        Field::new("last_name", Shape::Text, "Last name").at_most(WORD_BYTES_MAX),
        META,
        Field::new("my_notes", Shape::Text, "Notes").at_most(WORD_BYTES_MAX),
        Field::new("nickname", Shape::Text, "Nickname").at_most(WORD_BYTES_MAX),
        Field::new("phone", Shape::Text, "Phone").at_most(WORD_BYTES_MAX),
        Field::new("postcode", Shape::Text, "Postcode").at_most(WORD_BYTES_MAX),
        Field::new("signup_time", Shape::Text, "When the account was made").readonly(),
        Field::new("state", Shape::Text, "State of the account").readonly(),
        Field::new("title", Shape::Text, "Title").at_most(WORD_BYTES_MAX),
        Field::new("town", Shape::Text, "Town").at_most(WORD_BYTES_MAX),
        Field::new("uuid", Shape::Text, "UUID of the account").readonly(),
    ],
    filters: &[],
};

/// What the node can do.
pub const CAPABILITIES: Kind = Kind {
    name: "Capabilities",
    fields: &[
        Field::new("default_storage_type", Shape::Text, "The class of a drive that asks for none").readonly(),
        Field::new("drives", Shape::Any, "Sizes that drives can have, by class of storage").readonly(),
        Field::new(
            "snapshots",
            Shape::Object(&[
                Field::new("current", Shape::Integer, "Snapshots of the account").readonly().required(),
                Field::new("max", Shape::Integer, "Snapshots that the account may have").readonly().required(),
                Field::new("max_per_drive", Shape::Integer, "Snapshots that it may have of one drive").readonly().required(),
            ]),
            "How many snapshots there are and may be",
        )
        .readonly(),
        Field::new(
            "remote_snapshots",
            Shape::Object(&[
                Field::new("current", Shape::Integer, "Remote snapshots of the account").readonly().required(),
                Field::new("max", Shape::Integer, "Remote snapshots that the account may have").readonly().required(),
                Field::new("remote_locations", Shape::List, "Codes of the locations where they can be").readonly().required(),
            ]),
            "How many remote snapshots there are and may be, and where",
        )
        .readonly(),
    ],
    filters: &[],
};

/// Money.
pub const BALANCE: Kind = Kind {
    name: "Balance",
    fields: &[
        Field::new("balance", Shape::Text, "Nothing is charged").readonly(),
        Field::new("credit_limit", Shape::Text, "There is none").nullable().readonly(),
        Field::new("currency", Shape::Text, "Currency of the account").readonly(),
    ],
    filters: &[],
};

/// What an account uses.
pub const USAGE: Kind = Kind {
    name: "CurrentUsage",
    fields: &[
        Field::new("balance", Shape::Any, "Balance and currency").readonly(),
        Field::new("usage", Shape::Any, "Bytes in use, subscribed, and in use beyond what is subscribed, by class of storage")
            .readonly(),
    ],
    filters: &[],
};
