//! Does `check` find every kind of damage, and nothing where there is none?

mod damage;
mod descent;
mod family;
mod sharing;
mod sketch;
