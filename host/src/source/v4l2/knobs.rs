//! What a camera lets people set: brightness, exposure, focus. (Its encoder is set by [`control`](super::control).)

use std::{fmt, io, os::fd::BorrowedFd};

use serde::Serialize;
use v4l::{v4l_sys as sys, v4l2::vidioc};

use super::{
    device::text,
    ioctl::{Argument, ioctl},
};
use crate::plugin::suggest::suggest;

/// A control of a camera.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CameraControl {
    /// As `v4l2-ctl` writes it: `exposure_auto`.
    pub name: String,
    /// As the driver writes it: `Exposure, Auto`.
    pub label: String,
    /// What it can be set to.
    #[serde(flatten)]
    pub values: Values,
    /// What it is set to; `None` if it doesn't say.
    pub value: Option<i32>,
    /// What it is set to at first.
    pub default: i32,
    /// Why it can't be set now: another control decides it, for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fixed: Option<&'static str>,
    #[serde(skip)]
    id: u32,
}

/// What a control can be set to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Values {
    /// A whole number.
    Integer {
        /// The least.
        minimum: i32,
        /// The most.
        maximum: i32,
        /// From one to the next.
        step: i32,
    },
    /// On or off.
    Boolean,
    /// One of these.
    Menu {
        /// What to set it to, and what that is called.
        items: Vec<(i32, String)>,
    },
    /// Some of these bits.
    Bits {
        /// All that there are.
        all: u32,
    },
    /// Something happens when it is set to `true`.
    Button,
}

/// Why a control can't be set as it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// There is no such control.
    #[error("there is no control `{name}`; {help}")]
    Unknown {
        /// As it was written.
        name: String,
        /// What there is.
        help: String,
    },
    /// It takes other values.
    #[error("the control `{name}` can't be {value}; {expected}")]
    Value {
        /// The control.
        name: String,
        /// As it was written.
        value: String,
        /// What it takes.
        expected: String,
    },
    /// The driver said no.
    #[error("the control `{name}` can't be set to {value}: {reason}")]
    Refused {
        /// The control.
        name: String,
        /// As it was written.
        value: String,
        /// What the driver said.
        reason: String,
    },
}

impl CameraControl {
    /// The number that `text` stands for.
    fn read(&self, text: &str) -> Result<i32, ControlError> {
        let expected = |expected: String| ControlError::Value {
            name: self.name.clone(),
            value: text.to_owned(),
            expected,
        };
        let number = text.parse::<i64>().ok();
        match &self.values {
            Values::Integer {
                minimum,
                maximum,
                step,
            } => number
                .and_then(|number| i32::try_from(number).ok())
                .filter(|number| (minimum..=maximum).contains(&number))
                .ok_or_else(|| {
                    let by = match step {
                        0 | 1 => String::new(),
                        step => format!(", by {step}"),
                    };
                    expected(format!("expected {minimum} to {maximum}{by}"))
                }),
            Values::Boolean => match text {
                "true" | "1" => Ok(1),
                "false" | "0" => Ok(0),
                _ => Err(expected("expected true or false".into())),
            },
            Values::Menu { items } => {
                let by_number = items
                    .iter()
                    .find(|(item, _)| Some(i64::from(*item)) == number);
                let by_name = || items.iter().find(|(_, name)| same(name, text));
                // `manual` stands for `Manual Mode`, if for nothing else.
                let by_start = || {
                    let start = variable(text);
                    let mut found = items.iter().filter(|(_, name)| {
                        !start.is_empty() && variable(name).starts_with(&start)
                    });
                    found.next().filter(|_| found.next().is_none())
                };
                by_number
                    .or_else(by_name)
                    .or_else(by_start)
                    .map(|(item, _)| *item)
                    .ok_or_else(|| {
                        let items: Vec<_> = items
                            .iter()
                            .map(|(item, name)| format!("{name:?} ({item})"))
                            .collect();
                        expected(format!("expected {}", items.join(", ")))
                    })
            }
            Values::Bits { all } => {
                let number = match text.strip_prefix("0x") {
                    Some(digits) => u32::from_str_radix(digits, 16).ok(),
                    None => number.and_then(|number| u32::try_from(number).ok()),
                };
                number
                    .filter(|number| number & !all == 0)
                    .map(u32::cast_signed)
                    .ok_or_else(|| expected(format!("expected bits of {all:#x}")))
            }
            Values::Button => match text {
                "true" | "1" => Ok(1),
                _ => Err(expected("expected true, which pushes it".into())),
            },
        }
    }
}

impl fmt::Display for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer {
                minimum,
                maximum,
                step: 0 | 1,
            } => write!(f, "{minimum} to {maximum}"),
            Self::Integer {
                minimum,
                maximum,
                step,
            } => write!(f, "{minimum} to {maximum} by {step}"),
            Self::Boolean => write!(f, "true or false"),
            Self::Menu { items } => {
                let names: Vec<_> = items.iter().map(|(_, name)| format!("{name:?}")).collect();
                write!(f, "{}", names.join(", "))
            }
            Self::Bits { all } => write!(f, "bits of {all:#x}"),
            Self::Button => write!(f, "true, to push it"),
        }
    }
}

/// All controls that take a number. (Those that take text or tables are of codecs.)
pub(super) fn list(fd: BorrowedFd<'_>) -> Vec<CameraControl> {
    let mut controls = Vec::new();
    let mut query = sys::v4l2_queryctrl::zeroed();
    // More than any device has: a bound for drivers that never say stop.
    for _ in 0..1024 {
        query.id |= sys::V4L2_CTRL_FLAG_NEXT_CTRL;
        // EINVAL is the end.
        if ioctl(fd, vidioc::VIDIOC_QUERYCTRL, &mut query).is_err() {
            break;
        }
        controls.extend(control(fd, &query));
    }
    controls
}

fn control(fd: BorrowedFd<'_>, query: &sys::v4l2_queryctrl) -> Option<CameraControl> {
    let values = match query.type_ {
        sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER => Values::Integer {
            minimum: query.minimum,
            maximum: query.maximum,
            step: query.step,
        },
        sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_BOOLEAN => Values::Boolean,
        sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_MENU
        | sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER_MENU => Values::Menu {
            items: items(fd, query),
        },
        sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_BITMASK => Values::Bits {
            all: query.maximum.cast_unsigned(),
        },
        sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_BUTTON => Values::Button,
        _ => return None,
    };
    let has = |flag| query.flags & flag != 0;
    if has(sys::V4L2_CTRL_FLAG_DISABLED) {
        return None;
    }
    let mut value = sys::v4l2_control {
        id: query.id,
        value: 0,
    };
    let told = values != Values::Button
        && !has(sys::V4L2_CTRL_FLAG_WRITE_ONLY)
        && ioctl(fd, vidioc::VIDIOC_G_CTRL, &mut value).is_ok();
    let label = text(&query.name);
    Some(CameraControl {
        name: variable(&label),
        label,
        values,
        value: told.then_some(value.value),
        default: query.default_value,
        fixed: if has(sys::V4L2_CTRL_FLAG_READ_ONLY) {
            Some("it can only be read")
        } else if has(sys::V4L2_CTRL_FLAG_GRABBED) {
            Some("not while the camera runs")
        } else if has(sys::V4L2_CTRL_FLAG_INACTIVE) {
            Some("another control decides it now")
        } else {
            None
        },
        id: query.id,
    })
}

fn items(fd: BorrowedFd<'_>, query: &sys::v4l2_queryctrl) -> Vec<(i32, String)> {
    let numbers = query.type_ == sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER_MENU;
    // A bound for drivers that say nonsense.
    let most = query.maximum.min(query.minimum.saturating_add(255));
    (query.minimum..=most)
        .filter_map(|index| {
            let mut menu = sys::v4l2_querymenu {
                id: query.id,
                index: u32::try_from(index).ok()?,
                ..Argument::zeroed()
            };
            // Menus have holes.
            ioctl(fd, vidioc::VIDIOC_QUERYMENU, &mut menu).ok()?;
            let item = menu.__bindgen_anon_1;
            // SAFETY: both readings of the union are integers, and the kind of menu says which one is filled.
            let name = unsafe {
                if numbers {
                    item.value.to_string()
                } else {
                    text(&item.name)
                }
            };
            Some((index, name))
        })
        .collect()
}

/// Sets a control by name. Returns the name as the camera has it.
pub(super) fn set(
    fd: BorrowedFd<'_>,
    controls: &[CameraControl],
    name: &str,
    value: &str,
) -> Result<String, ControlError> {
    let control = find(controls, name)?;
    let mut set = sys::v4l2_control {
        id: control.id,
        value: control.read(value)?,
    };
    ioctl(fd, vidioc::VIDIOC_S_CTRL, &mut set).map_err(|error| ControlError::Refused {
        name: control.name.clone(),
        value: value.to_owned(),
        reason: reason(&error, control),
    })?;
    Ok(control.name.clone())
}

fn reason(error: &io::Error, control: &CameraControl) -> String {
    match control.fixed {
        Some(fixed) => format!("{fixed} ({error})"),
        None => error.to_string(),
    }
}

fn find<'a>(controls: &'a [CameraControl], name: &str) -> Result<&'a CameraControl, ControlError> {
    let known = || controls.iter().map(|control| control.name.as_str());
    controls
        .iter()
        .find(|control| same(&control.name, name))
        .ok_or_else(|| ControlError::Unknown {
            name: name.to_owned(),
            help: match suggest(name, known()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None if controls.is_empty() => "this camera has none".into(),
                None => format!("there are {}", known().collect::<Vec<_>>().join(", ")),
            },
        })
}

/// `exposure-auto` is `exposure_auto` is `Exposure, Auto`.
pub(super) fn same(a: &str, b: &str) -> bool {
    variable(a) == variable(b)
}

/// A label as `v4l2-ctl` makes a name of it.
fn variable(label: &str) -> String {
    let words = label
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase);
    words.collect::<Vec<_>>().join("_")
}

#[cfg(test)]
mod tests;
