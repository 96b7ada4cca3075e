use super::Inputs;

/// What `auth` looks at. The path, and the token in front of it, always count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// Query parameters, header fields and cookies.
    pub inputs: Inputs,
    /// The method of the request.
    pub method: bool,
    /// The address of the peer.
    pub peer: bool,
    /// The body of a form.
    pub form: bool,
}
