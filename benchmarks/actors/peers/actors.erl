%% Erlang/OTP's gen_server and supervisor at the same jobs: `actors:main(["tell", "60000"])` prints one JSON object.
%% The number is how much of the job's unit to do; what a job does is told beside its clause.
-module(actors).
-behaviour(gen_server).
-export([main/1, start_link/0, start_link/1]).
-export([init/1, handle_call/3, handle_cast/2]).

-define(CONSUMERS, 1000).
-define(PRODUCERS, 8).
-define(CLIENTS, 64).

%% The worker: counts what it is told, answers what it is asked, notes how long a stamp was under way (ns).
%% `{supervisor, Flags, Specs}` makes it the start of a supervisor instead.
init({supervisor, Flags, Specs}) -> {ok, {Flags, Specs}};
init(worker) -> {ok, {0, []}}.

handle_call(waits, _From, {_, Waits} = State) -> {reply, Waits, State};
handle_call(Message, _From, State) -> {reply, Message, State}.

handle_cast({stamp, SentAt}, {Count, Waits}) -> {noreply, {Count, [now_ns() - SentAt | Waits]}};
handle_cast(crash, _State) -> error(boom);
handle_cast(_Message, {Count, Waits}) -> {noreply, {Count + 1, Waits}}.

start_link() -> gen_server:start_link(?MODULE, worker, []).
start_link(Name) -> gen_server:start_link({local, Name}, ?MODULE, worker, []).

main([Job, Number]) ->
    logger:set_primary_config(level, none),
    Figures = measure(list_to_atom(Job), list_to_integer(Number)),
    Parts = [io_lib:format("\"~s\": ~f", [Key, float(Value)]) || {Key, Value} <- Figures],
    io:format("{~s}~n", [lists:join(", ", Parts)]),
    halt().

%% Casts to one server; it answers a call after all of them.
measure(tell, Count) ->
    {ok, Worker} = start_link(),
    Ns = timed(fun() -> repeat(Count, fun(_) -> gen_server:cast(Worker, message) end), call(Worker) end),
    [{tell, Count * 1.0e9 / Ns}];
%% Calls, one after the other.
measure(ask, Count) ->
    {ok, Worker} = start_link(),
    [{ask, timed(fun() -> repeat(Count, fun(_) -> call(Worker) end) end) / Count / 1000}];
%% Calls by each client.
measure(clients, Count) ->
    {ok, Worker} = start_link(),
    Ns = timed(fun() -> together(?CLIENTS, fun(_) -> repeat(Count, fun(_) -> call(Worker) end) end) end),
    [{clients, ?CLIENTS * Count * 1.0e9 / Ns}];
%% Casts to a thousand servers, from all producers together.
measure(crowd, Count) -> [{crowd, crowd(Count, 1)}];
measure(crowd_fours, Count) -> [{crowd_fours, crowd(Count, 4)}];
%% Servers started by a supervisor, each asked at once.
measure(spawn, Count) ->
    Super = start_supervisor(),
    Ns = timed(fun() -> repeat(Count, fun(_) -> call(start_child(Super)) end) end),
    [{spawn, Ns / Count / 1000}];
%% Crashes of one supervised server.
measure(crash, Count) ->
    Child = #{id => worker, start => {?MODULE, start_link, [worker]}},
    {ok, _} = supervisor:start_link(?MODULE, {supervisor, flags(one_for_one), [Child]}),
    Times = [begin
        Old = whereis(worker),
        timed(fun() -> gen_server:cast(Old, crash), ask_next(Old) end) / 1000
    end || _ <- lists:seq(1, Count)],
    [{crash, percentile(Times, 0.5)}, {crash_p99, percentile(Times, 0.99)}];
%% Servers started, asked once, and stopped with their supervisor.
measure(idle, Count) ->
    erlang:garbage_collect(),
    Before = resident_bytes(),
    {Super, Start} = timed_value(fun() ->
        Started = start_supervisor(),
        [call(Worker) || Worker <- [start_child(Started) || _ <- lists:seq(1, Count)]],
        Started
    end),
    Used = resident_bytes() - Before,
    Stop = timed(fun() -> gen_server:stop(Super, normal, infinity) end),
    [{idle, Used / Count}, {idle_life, (Start + Stop) / Count / 1000}];
%% Ten casts every millisecond, for so many milliseconds.
measure(latency, Milliseconds) ->
    {ok, Worker} = start_link(),
    pace(Worker, now_ns(), Milliseconds * 1000000, 0),
    Waits = [Ns / 1000 || Ns <- gen_server:call(Worker, waits)],
    [{latency, percentile(Waits, 0.5)}, {latency_p99, percentile(Waits, 0.99)}];
%% Look-ups of a registered name.
measure(lookup, Count) ->
    {ok, _} = start_link(worker),
    [{lookup, timed(fun() -> repeat(Count, fun(_) -> whereis(worker) end) end) / Count}].

crowd(Count, InARow) ->
    Workers = list_to_tuple([begin {ok, Worker} = start_link(), Worker end || _ <- lists:seq(1, ?CONSUMERS)]),
    Produce = fun(Producer) ->
        repeat(Count div ?PRODUCERS, fun(Index) ->
            Receiver = ((Index - 1) div InARow * 7 + (Producer - 1) * 125) rem ?CONSUMERS,
            gen_server:cast(element(Receiver + 1, Workers), message)
        end)
    end,
    Ns = timed(fun() ->
        together(?PRODUCERS, Produce),
        [call(Worker) || Worker <- tuple_to_list(Workers)]
    end),
    Count * 1.0e9 / Ns.

pace(Worker, Begun, Ns, Sent) ->
    case now_ns() - Begun of
        Elapsed when Elapsed >= Ns -> ok;
        Elapsed ->
            Due = Elapsed div 100000 + 1,
            repeat(max(0, Due - Sent), fun(_) -> gen_server:cast(Worker, {stamp, now_ns()}) end),
            timer:sleep(1),
            pace(Worker, Begun, Ns, max(Due, Sent))
    end.

%% Ask the server that follows `Old`, as soon as there is one.
ask_next(Old) ->
    case whereis(worker) of
        New when is_pid(New), New =/= Old -> call(New);
        _ -> erlang:yield(), ask_next(Old)
    end.

call(Worker) -> gen_server:call(Worker, message, 60000).

flags(Strategy) -> #{strategy => Strategy, intensity => 1000000, period => 1}.

start_supervisor() ->
    Child = #{id => worker, start => {?MODULE, start_link, []}},
    {ok, Super} = supervisor:start_link(?MODULE, {supervisor, flags(simple_one_for_one), [Child]}),
    Super.

start_child(Super) ->
    {ok, Worker} = supervisor:start_child(Super, []),
    Worker.

%% Run `Work(1..Processes)`, each in a process of its own, and wait for all.
together(Processes, Work) ->
    Monitors = [spawn_monitor(fun() -> Work(Number) end) || Number <- lists:seq(1, Processes)],
    [receive {'DOWN', Reference, process, _, normal} -> ok end || {_, Reference} <- Monitors].

repeat(0, _Work) -> ok;
repeat(Count, Work) -> Work(Count), repeat(Count - 1, Work).

now_ns() -> erlang:monotonic_time(nanosecond).

timed(Work) -> element(2, timed_value(Work)).

timed_value(Work) ->
    Begun = now_ns(),
    Value = Work(),
    {Value, now_ns() - Begun}.

percentile(Values, Share) ->
    Ordered = lists:sort(Values),
    lists:nth(min(length(Ordered), trunc(length(Ordered) * Share) + 1), Ordered).

resident_bytes() ->
    {ok, Statm} = file:read_file("/proc/self/statm"),
    [_, Pages | _] = binary:split(Statm, <<" ">>, [global]),
    binary_to_integer(Pages) * 4096.
