//! What [`export!`](crate::export) expands to, but for the symbols themselves.

use std::cell::UnsafeCell;

use crate::{
    Config, KeyValue, Plugin, bindings::lifecycle::exports::picam::plugin::lifecycle, log, text,
};

/// `describe`, the first call that an instance gets.
pub fn describe<P: Plugin>() -> lifecycle::Description {
    report_panics();
    P::describe().into_record()
}

/// Has a panic tell the host why, before it becomes a trap, of which the host sees no more than where it was.
fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let mut line = String::from("panicked");
        if let Some(place) = panic.location() {
            line.push_str(" at ");
            line.push_str(place.file());
            line.push(':');
            text::push_whole(&mut line, place.line().into());
        }
        if let Some(message) = panic.payload_as_str() {
            line.push_str(": ");
            line.push_str(message);
        }
        log::error(&line);
    }));
}

/// The plugin's one value, made by `init`.
pub struct Slot<P>(UnsafeCell<Option<P>>);

// SAFETY: A component of this contract has one thread. (A `thread_local` says the same, at the cost of a closure for
// every hook.)
unsafe impl<P> Sync for Slot<P> {}

impl<P: Plugin> Slot<P> {
    /// Before `init`.
    #[allow(clippy::new_without_default, reason = "made by a macro, in a static")]
    pub const fn new() -> Self {
        Self(UnsafeCell::new(None))
    }

    /// `init`: starts the plugin.
    pub fn start(&self, config: Vec<KeyValue>) -> Result<(), String> {
        report_panics();
        let plugin = P::start(&Config::new(config))?;
        // SAFETY: A host calls into a component one call at a time and never from within one (the component model
        // traps on re-entrance), so nobody holds what `plugin` lent out.
        unsafe { *self.0.get() = Some(plugin) };
        Ok(())
    }

    /// The plugin, for as long as a hook runs.
    ///
    /// # Safety
    /// What this lent out before must be gone.
    #[allow(clippy::mut_from_ref, reason = "the caller vouches for exclusiveness")]
    pub unsafe fn plugin(&self) -> &mut P {
        // SAFETY: The caller's promise.
        unsafe { &mut *self.0.get() }
            .as_mut()
            .expect("the host calls init, successfully, before any hook")
    }
}

/// Makes the plugin of this component: `export!(MyPlugin: playlist, state)`. Behind the colon stand the hooks whose traits
/// the type implements, in any combination: `playlist`, `naming`, `auth`, `overlay`, and `state`. It is used once in a
/// crate, and does nothing but for a wasm target.
#[macro_export]
macro_rules! export {
    ($plugin:ident : $($hook:ident),+ $(,)?) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            static SLOT: $crate::glue::Slot<$plugin> = $crate::glue::Slot::new();

            struct Component;

            impl $crate::bindings::lifecycle::exports::picam::plugin::lifecycle::Guest for Component {
                fn describe() -> $crate::bindings::lifecycle::exports::picam::plugin::lifecycle::Description {
                    $crate::glue::describe::<$plugin>()
                }

                fn init(config: ::std::vec::Vec<$crate::KeyValue>) -> ::std::result::Result<(), ::std::string::String> {
                    SLOT.start(config)
                }
            }

            $crate::bindings::lifecycle::export_lifecycle!(Component);
            $($crate::__export_hook!($hook, $plugin, Component, SLOT);)+
        };
    };
}

/// One hook of [`export!`](crate::export).
#[doc(hidden)]
#[macro_export]
macro_rules! __export_hook {
    (playlist, $plugin:ident, $component:ident, $slot:ident) => {
        impl $crate::bindings::playlist::exports::picam::plugin::playlist::Guest for $component {
            fn wanted_timing() -> $crate::playlist::TimingRequest {
                // SAFETY: Borrowed for this call, and calls don't overlap.
                $crate::playlist::Playlist::wanted_timing(unsafe { $slot.plugin() })
            }

            fn documents() -> ::std::vec::Vec<$crate::playlist::Document> {
                // SAFETY: As above.
                $crate::playlist::Playlist::documents(unsafe { $slot.plugin() })
            }

            fn render(
                request: $crate::playlist::Request,
                presentation: $crate::playlist::Presentation,
            ) -> $crate::playlist::Answer {
                // SAFETY: As above.
                let plugin = unsafe { $slot.plugin() };
                $crate::playlist::Playlist::render(plugin, &request, &presentation)
            }
        }

        $crate::bindings::playlist::export_playlist!($component);
    };
    (naming, $plugin:ident, $component:ident, $slot:ident) => {
        impl $crate::bindings::naming::exports::picam::plugin::naming::Guest for $component {
            fn name(object: $crate::naming::Object) -> ::std::string::String {
                // SAFETY: Borrowed for this call, and calls don't overlap.
                $crate::naming::Naming::name(unsafe { $slot.plugin() }, &object)
            }

            fn segment_template(
                rendition: ::std::string::String,
            ) -> ::std::option::Option<::std::string::String> {
                // SAFETY: As above.
                $crate::naming::Naming::segment_template(unsafe { $slot.plugin() }, &rendition)
            }
        }

        $crate::bindings::naming::export_naming!($component);
    };
    (auth, $plugin:ident, $component:ident, $slot:ident) => {
        impl $crate::bindings::auth::exports::picam::plugin::auth::Guest for $component {
            fn reads() -> $crate::Inputs {
                // SAFETY: Borrowed for this call, and calls don't overlap.
                $crate::auth::Auth::reads(unsafe { $slot.plugin() })
            }

            fn decide(request: $crate::auth::Request) -> $crate::auth::Decision {
                // SAFETY: As above.
                $crate::auth::Auth::decide(unsafe { $slot.plugin() }, &request)
            }
        }

        $crate::bindings::auth::export_auth!($component);
    };
    (overlay, $plugin:ident, $component:ident, $slot:ident) => {
        impl $crate::bindings::overlay::exports::picam::plugin::overlay::Guest for $component {
            fn draw(frame: $crate::overlay::Frame) -> $crate::overlay::Drawing {
                // SAFETY: Borrowed for this call, and calls don't overlap.
                $crate::overlay::Overlay::draw(unsafe { $slot.plugin() }, &frame)
            }
        }

        $crate::bindings::overlay::export_overlay!($component);
    };
    (state, $plugin:ident, $component:ident, $slot:ident) => {
        impl $crate::bindings::state::exports::picam::plugin::state::Guest for $component {
            fn save() -> ::std::vec::Vec<u8> {
                // SAFETY: Borrowed for this call, and calls don't overlap.
                $crate::State::save(unsafe { $slot.plugin() })
            }

            fn restore(
                saved: ::std::vec::Vec<u8>,
            ) -> ::std::result::Result<(), ::std::string::String> {
                // SAFETY: As above.
                $crate::State::restore(unsafe { $slot.plugin() }, &saved)
            }
        }

        $crate::bindings::state::export_state!($component);
    };
    ($other:ident, $plugin:ident, $component:ident, $slot:ident) => {
        ::core::compile_error!(::core::concat!(
            "there is no hook `",
            ::core::stringify!($other),
            "`; export! knows `playlist`, `naming`, `auth`, `overlay` and `state`"
        ));
    };
}
