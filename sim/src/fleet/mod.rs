//! A fleet of engines without a clock on the wall.

mod flood;

pub use flood::flood_rate;
