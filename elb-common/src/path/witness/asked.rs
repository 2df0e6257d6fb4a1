//! What tables are asked, and what they answer, one variant a question.

use crate::addr::{Be32, Be128, Mac};
use crate::admission::{GroupKeyV4, GroupKeyV6};
use crate::backend::Backend;
use crate::binding::{Binding, Course};
use crate::client::{Client, ClientKey};
use crate::client_hop::ClientHop;
use crate::exception::Exception;
use crate::flow::{Flow, FlowKeyV4, FlowKeyV6, Stage};
use crate::fragment::Fragment;
use crate::interface::{Interface, MacKey};
use crate::listener::{Listener, ListenerEndpoint, ListenerKeyV4, ListenerKeyV6, RangeKey, Vip};
use crate::pool::Pool;
use crate::quic::ServerIdKey;
use crate::reason::Reason;
use crate::reply::Reply;
use crate::ring::Slot;
use crate::room::Claim;
use crate::snat::Snat;

/// A question of the packet path with its answer, or something that it wrote. One variant for each
/// method of [`Tables`](crate::path::Tables) but `choose`, named after it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "the methods of `Tables` say what each means")]
pub enum Asked<'t> {
    MayBeVipV4(Be32, bool),
    MayBeVipV6(Be128, bool),
    ListenerV4(ListenerKeyV4, Option<&'t Listener>),
    ListenerV6(ListenerKeyV6, Option<&'t Listener>),
    Range(RangeKey, Option<&'t Listener>),
    VipV4(Be32, Option<Vip>),
    VipV6(Be128, Option<Vip>),
    GroupV4(GroupKeyV4, bool),
    GroupV6(GroupKeyV6, bool),
    MayOpen(u16, bool),
    ListenerConnections(u16, u32),
    Slot(u32, Option<Slot>),
    Pool(u16, Option<Pool>),
    Turn(u16, u32),
    Server(ServerIdKey, Option<u16>),
    BackendConnections(u16, u32),
    Backend(u16, Option<&'t Backend>),
    FindV4(Stage, FlowKeyV4, Option<Flow>),
    FindV6(Stage, FlowKeyV6, Option<Flow>),
    RecordV4(Stage, FlowKeyV4, Flow),
    RecordV6(Stage, FlowKeyV6, Flow),
    ForgetV4(Stage, FlowKeyV4, bool),
    ForgetV6(Stage, FlowKeyV6, bool),
    Client(Stage, ClientKey, Option<Client>),
    NoteClient(Stage, ClientKey, Client),
    HasRoom(u16, Claim, bool),
    CountRecords(u16, i64, i64),
    Refused(u16),
    CountsAreBelieved(bool),
    IsCarried(bool),
    Opening(u16),
    /// One of them is open: the backend.
    NoLongerOpening(u16),
    Opened(u16, u16),
    Closed(u16, u16),
    MayBeMemberV4(Be32, bool),
    MayBeMemberV6(Be128, bool),
    ReplyV4(ListenerKeyV4, Option<&'t Reply>),
    ReplyV6(ListenerKeyV6, Option<&'t Reply>),
    ExceptionV4(FlowKeyV4, Option<Exception>),
    ExceptionV6(FlowKeyV6, Option<Exception>),
    ExceptV4(FlowKeyV4, Exception),
    ExceptV6(FlowKeyV6, Exception),
    IsExcepted(u16, bool),
    Snat(Option<&'t Snat>),
    Binding(u32, Option<Binding>),
    SetCourse(u32, Course),
    Claim(u32, Binding, bool),
    Endpoint(u16, Option<&'t ListenerEndpoint>),
    ClientHopV4(Be32, Option<&'t ClientHop>),
    ClientHopV6(Be128, Option<&'t ClientHop>),
    ProbedV4(FlowKeyV4, Option<u16>),
    ProbedV6(FlowKeyV6, Option<u16>),
    FragmentV4(FlowKeyV4, Option<Fragment>),
    FragmentV6(FlowKeyV6, Option<Fragment>),
    RecordFragmentV4(FlowKeyV4, Fragment),
    RecordFragmentV6(FlowKeyV6, Fragment),
    MayAnswer(bool),
    Now(u32),
    Interface(u32, Option<Interface>),
    IsMacOf(u32, Mac, bool),
    TakesMac(MacKey, bool),
    IsConnected(bool),
    Redirect(u32, bool),
    CountListener(u16),
    CountBackend(u16),
    /// To the listener, of the backend.
    CountReply(u16, u16),
    /// The same, and whether it resets its connection.
    CountAnswer(u16, u16, bool),
    /// Of the listener, at the backend.
    CountOpening(u16, u16),
    CountReset(u16),
    CountDropped(u16, Reason),
    CountReason(Reason),
    /// Where these are logged, as all that follows: for the listener, to the backend.
    Chosen(u16, u16),
    /// For the listener, to the backend or none.
    Stopped(u16, u16),
    /// The frame may become an answer.
    Answering,
}
