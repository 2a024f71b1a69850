%% Plays fault scripts on the real OTP `supervisor` and writes down what it did, for the replay on our own.
%%
%% Debian and Ubuntu: `apt-get install erlang-base` (OTP 25 is enough; auto_shutdown needs 24). macOS: `brew install erlang`.
%% Then `npm run otp:record`: it writes the scripts as Erlang terms, compiles this file into a scratch folder, runs
%% `erl +S 1:1` and joins scripts and traces in test/otp/traces.jsonl. Nothing here is run by `npm test`.
%%
%% Each script has a driver, which is the parent of the root supervisor, and a scribe, which knows every process of the tree
%% and hears of its end by a monitor. Starts are told to the scribe by a call out of the supervisor that starts, so that the
%% order in which the scribe hears of things is the order in which they happened: with one scheduler an exiting process has
%% told all its monitors and links before anyone who reacts to them runs.
%%
%% After each step the driver waits until the tree is quiet: every living supervisor has answered a call, nobody's call is
%% open, and nothing was written down meanwhile. Deadlines of the scripts are chosen so that no two things race in real time.
%%
%% Trace: `+ path n` attempt n to start the child of that path gave a process, `! path n` it failed, `~ path n` it said
%% `ignore`, `- path n reason` the process that attempt n gave has ended. The root's path is `.`.
%% Events are in the order in which they happened, but for two cases: instances of one pool that end one right after the
%% other were stopped all at once, and are a set; where a supervisor is killed, its children outlive it for a moment, and all
%% events of a step are a set.
-module(recorder).
-behaviour(supervisor).

-export([main/1, init/1, log/2, start_static/3, start_instance/5, worker/3]).

-define(AT_ONCE, 60).
-define(LATE_MS, 15).

main([In, Out]) ->
    ok = logger:remove_handler(default),
    ok = logger:add_handler(give_ups, ?MODULE, #{}),
    {ok, Scripts} = file:consult(In),
    {ok, File} = file:open(Out, [write]),
    ok = io:format(File, "{\"otp\":\"~s\",\"stdlib\":\"~s\"}~n", [erlang:system_info(otp_release), stdlib_version()]),
    in_groups(Scripts, File),
    ok = file:close(File),
    init:stop().

stdlib_version() ->
    {ok, Version} = application:get_key(stdlib, vsn),
    Version.

in_groups([], _File) ->
    ok;
in_groups(Scripts, File) ->
    {Now, Later} = lists:split(min(?AT_ONCE, length(Scripts)), Scripts),
    Runs = [{Script, spawn_monitor(fun() -> exit({trace, drive(Script)}) end)} || Script <- Now],
    lists:foreach(
        fun({#{name := Name}, {Pid, Ref}}) ->
            receive
                {'DOWN', Ref, process, Pid, {trace, Steps}} ->
                    ok = io:format(File, "{\"name\":\"~s\",\"steps\":[~s]}~n", [Name, lists:join(",", Steps)]);
                {'DOWN', Ref, process, Pid, Reason} ->
                    error({Name, Reason})
            end
        end,
        Runs
    ),
    in_groups(Later, File).

%% The driver.

drive(#{root := Root, steps := Steps}) ->
    process_flag(trap_exit, true),
    Driver = self(),
    Scribe = spawn_link(fun() -> scribe(new_book(Driver)) end),
    Boot =
        case supervisor:start_link(?MODULE, {Scribe, ".", Root}) of
            {ok, Pid} ->
                1 = call(Scribe, {attempt, "."}),
                ok = call(Scribe, {started, ".", 1, Pid, supervisor}),
                "ok";
            {error, _} ->
                "failed-to-start"
        end,
    [written(Scribe, 0, Boot) | steps(Scribe, Steps)].

steps(_Scribe, []) ->
    [];
steps(Scribe, [Alternatives | Later]) ->
    case is_alive(Scribe, ".") of
        false ->
            [];
        true ->
            case first_possible(Scribe, Alternatives, 0) of
                none ->
                    ["{\"chosen\":-1}" | steps(Scribe, Later)];
                {Chosen, Step} ->
                    Answer = play(Scribe, Step),
                    [written(Scribe, Chosen, Answer) | steps(Scribe, Later)]
            end
    end.

first_possible(_Scribe, [], _Index) ->
    none;
first_possible(Scribe, [Step | Others], Index) ->
    case is_possible(Scribe, Step) of
        true -> {Index, Step};
        false -> first_possible(Scribe, Others, Index + 1)
    end.

is_possible(Scribe, #{do := 'terminate-instance', at := At, name := Name}) ->
    is_alive(Scribe, text(At)) andalso call(Scribe, {last, path(text(At), Name)}) =/= none;
is_possible(Scribe, #{paths := Paths}) ->
    lists:all(fun(Path) -> is_alive(Scribe, text(Path)) end, Paths);
is_possible(Scribe, #{at := At}) ->
    is_alive(Scribe, text(At));
is_possible(Scribe, #{path := Path}) ->
    is_alive(Scribe, text(Path));
is_possible(_Scribe, _Step) ->
    true.

play(Scribe, #{do := exit, path := Path, reason := Reason}) ->
    ok = end_process(call(Scribe, {find, text(Path)}), Reason),
    "ok";
play(Scribe, #{do := 'exit-together', at := At, paths := Paths, reason := Reason}) ->
    %% Suspended it hears of no exit before all of them have happened.
    Supervisor = call(Scribe, {find, text(At)}),
    ok = sys:suspend(Supervisor),
    lists:foreach(fun(Path) -> ok = end_process(call(Scribe, {find, text(Path)}), Reason) end, Paths),
    ok = sys:resume(Supervisor),
    "ok";
play(Scribe, #{do := 'exit-then-ask', path := Path, reason := Reason, request := #{at := At} = Request}) ->
    Supervisor = call(Scribe, {find, text(At)}),
    ok = sys:suspend(Supervisor),
    ok = end_process(call(Scribe, {find, text(Path)}), Reason),
    ok = queue(Scribe, text(At), Supervisor, Request),
    ok = sys:resume(Supervisor),
    "ok";
play(_Scribe, #{do := wait, ms := Ms}) ->
    timer:sleep(Ms),
    "ok";
play(Scribe, #{do := stop}) ->
    Root = call(Scribe, {find, "."}),
    exit(Root, shutdown),
    await_end(Root);
play(Scribe, #{at := At} = Step) ->
    Path = text(At),
    ask(Scribe, Path, call(Scribe, {find, Path}), Step).

ask(Scribe, Path, Supervisor, Step) ->
    try
        answer(Scribe, Path, Supervisor, Step)
    catch
        exit:_ -> "noproc"
    end.

answer(Scribe, Path, Supervisor, #{do := 'start-child', plan := Plan}) ->
    told(supervisor:start_child(Supervisor, child_spec(Scribe, Path, Plan)));
answer(_Scribe, _Path, Supervisor, #{do := 'start-instance', name := Name, starts := Starts}) ->
    told(supervisor:start_child(Supervisor, [Name, Starts]));
answer(_Scribe, _Path, Supervisor, #{do := 'terminate-child', id := Id}) ->
    told(supervisor:terminate_child(Supervisor, Id));
answer(Scribe, Path, Supervisor, #{do := 'terminate-instance', name := Name}) ->
    told(supervisor:terminate_child(Supervisor, call(Scribe, {last, path(Path, Name)})));
answer(_Scribe, _Path, Supervisor, #{do := 'restart-child', id := Id}) ->
    told(supervisor:restart_child(Supervisor, Id));
answer(_Scribe, _Path, Supervisor, #{do := 'delete-child', id := Id}) ->
    told(supervisor:delete_child(Supervisor, Id));
answer(_Scribe, _Path, Supervisor, #{do := 'count-children'}) ->
    Counts = supervisor:count_children(Supervisor),
    lists:join(" ", [
        io_lib:format("~s ~b", [Name, proplists:get_value(Name, Counts)])
     || Name <- [specs, active, supervisors, workers]
    ]);
answer(Scribe, Path, Supervisor, #{do := 'list-children'}) ->
    %% The child that was started last comes first; instances of a pool come in no order.
    Children = supervisor:which_children(Supervisor),
    Listed = [listed(Scribe, Path, Child) || Child <- lists:reverse(Children)],
    IsPool = lists:any(fun({Id, _, _, _}) -> Id =:= undefined end, Children),
    lists:join(" ", case IsPool of true -> lists:sort(Listed); false -> Listed end).

listed(Scribe, Path, {undefined, Pid, _, _}) when is_pid(Pid) ->
    name_below(Path, call(Scribe, {path_of, Pid})) ++ ":running";
listed(_Scribe, _Path, {undefined, restarting, _, _}) ->
    "?:restarting";
listed(_Scribe, _Path, {Id, Pid, _, _}) when is_pid(Pid) ->
    text(Id) ++ ":running";
listed(_Scribe, _Path, {Id, restarting, _, _}) ->
    text(Id) ++ ":restarting";
listed(_Scribe, _Path, {Id, undefined, _, _}) ->
    text(Id) ++ ":none".

told(ok) -> "ok";
told({ok, undefined}) -> "ignored";
told({ok, Pid}) when is_pid(Pid) -> "ok";
told({error, {already_started, _}}) -> "already-started";
told({error, already_present}) -> "already-present";
told({error, not_found}) -> "not-found";
told({error, running}) -> "running";
told({error, restarting}) -> "restarting";
told({error, _}) -> "failed-to-start".

end_process(Pid, Reason) ->
    case Reason of
        killed -> exit(Pid, kill);
        'shutdown:x' -> Pid ! {exit, {shutdown, x}};
        _ -> Pid ! {exit, Reason}
    end,
    _ = await_end(Pid),
    ok.

await_end(Pid) ->
    Ref = monitor(process, Pid),
    receive
        {'DOWN', Ref, process, Pid, _} -> "ok"
    end.

is_alive(Scribe, Path) ->
    call(Scribe, {find, Path}) =/= none.

written(Scribe, Chosen, Answer) ->
    quiet(Scribe, none),
    {Events, Answers, GaveUp} = call(Scribe, take),
    Lists = [
        io_lib:format(",\"~s\":[~s]", [Name, lists:join(",", [["\"", Line, "\""] || Line <- Lines])])
     || {Name, Lines} <- [{"events", Events}, {"asked", Answers}, {"gaveUp", GaveUp}], Lines =/= []
    ],
    io_lib:format("{\"chosen\":~b,\"answer\":\"~s\"~s}", [Chosen, Answer, Lists]).

quiet(Scribe, Seen) ->
    timer:sleep(2),
    lists:foreach(
        fun(Supervisor) ->
            try
                supervisor:count_children(Supervisor)
            catch
                exit:_ -> gone
            end
        end,
        call(Scribe, supervisors)
    ),
    case call(Scribe, length) of
        {_, 0} = Seen -> ok;
        Now -> quiet(Scribe, Now)
    end.

%% The scribe.

new_book(Driver) ->
    #{
        driver => Driver, events => [], written => 0, answers => [], open => 0, gave_up => [],
        attempts => #{}, living => #{}, last => #{}, paths => #{}
    }.

call(Scribe, Request) ->
    Ref = monitor(process, Scribe),
    Scribe ! {self(), Ref, Request},
    receive
        {Ref, Reply} ->
            demonitor(Ref, [flush]),
            Reply;
        {'DOWN', Ref, process, Scribe, Reason} ->
            error({scribe, Reason})
    end.

scribe(Book) ->
    receive
        {From, Ref, Request} ->
            {Reply, NewBook} = note(Request, Book),
            From ! {Ref, Reply},
            scribe(NewBook);
        {'DOWN', Ref, process, _Pid, Reason} ->
            #{living := Living} = Book,
            {{Path, Attempt, _, _}, StillLiving} = maps:take(Ref, Living),
            scribe(write(["- ", numbered(Path, Attempt), " ", reason(Reason)], Book#{living := StillLiving}))
    end.

note({attempt, Path}, #{attempts := Attempts} = Book) ->
    Attempt = maps:get(Path, Attempts, 0) + 1,
    {Attempt, Book#{attempts := Attempts#{Path => Attempt}}};
note({started, Path, Attempt, Pid, Kind}, #{living := Living, last := Last, paths := Paths} = Book) ->
    Ref = monitor(process, Pid),
    Known = Book#{
        living := Living#{Ref => {Path, Attempt, Pid, Kind}}, last := Last#{Path => Pid}, paths := Paths#{Pid => Path}
    },
    {ok, write(["+ ", numbered(Path, Attempt)], Known)};
note({failed, Path, Attempt}, Book) ->
    {ok, write(["! ", numbered(Path, Attempt)], Book)};
note({ignored, Path, Attempt}, Book) ->
    {ok, write(["~ ", numbered(Path, Attempt)], Book)};
note({gave_up, Path}, #{gave_up := GaveUp} = Book) ->
    {ok, Book#{gave_up := [Path | GaveUp]}};
note(asking, #{open := Open} = Book) ->
    {ok, Book#{open := Open + 1}};
note({answered, Answer}, #{open := Open, answers := Answers} = Book) ->
    {ok, Book#{open := Open - 1, answers := [Answer | Answers]}};
note({find, Path}, #{living := Living} = Book) ->
    Found = lists:reverse(lists:sort([{N, Pid} || {P, N, Pid, _} <- maps:values(Living), P =:= Path])),
    {case Found of [] -> none; [{_, Pid} | _] -> Pid end, Book};
note({last, Path}, #{last := Last} = Book) ->
    {maps:get(Path, Last, none), Book};
note({path_of, Pid}, #{paths := Paths} = Book) ->
    {maps:get(Pid, Paths), Book};
note(supervisors, #{living := Living} = Book) ->
    {[Pid || {_, _, Pid, supervisor} <- maps:values(Living)], Book};
note(length, #{written := Written, open := Open} = Book) ->
    {{Written, Open}, Book};
note(take, #{events := Events, answers := Answers, gave_up := GaveUp} = Book) ->
    Taken = {lists:reverse(Events), lists:reverse(Answers), lists:reverse(GaveUp)},
    {Taken, Book#{events := [], answers := [], gave_up := []}}.

write(Event, #{events := Events, written := Written} = Book) ->
    Book#{events := [Event | Events], written := Written + 1}.

numbered(Path, Attempt) ->
    [Path, " ", integer_to_list(Attempt)].

reason({shutdown, Detail}) -> io_lib:format("shutdown:~s", [Detail]);
reason(Reason) when Reason =:= normal; Reason =:= shutdown; Reason =:= killed -> atom_to_list(Reason);
reason(_) -> "error".

%% The tree.

init({Scribe, Path, Plan}) ->
    put(give_up, {Scribe, Path}),
    {ok, {flags(Plan), children(Scribe, Path, Plan)}}.

flags(#{type := pool, intensity := Intensity, period := Period}) ->
    #{strategy => simple_one_for_one, intensity => Intensity, period => Period};
flags(#{type := supervisor, strategy := Strategy, intensity := Intensity, period := Period} = Plan) ->
    #{
        strategy => underscored(Strategy),
        intensity => Intensity,
        period => Period,
        auto_shutdown => underscored(maps:get(autoShutdown, Plan, never))
    }.

children(Scribe, Path, #{type := pool, template := Template}) ->
    [(limits(Template))#{id => instance, start => {?MODULE, start_instance, [Scribe, Path, Template]}}];
children(Scribe, Path, #{type := supervisor, children := Plans}) ->
    [child_spec(Scribe, Path, Plan) || Plan <- Plans].

child_spec(Scribe, Path, #{id := Id} = Plan) ->
    (limits(Plan))#{
        id => Id,
        start => {?MODULE, start_static, [Scribe, path(Path, Id), Plan]},
        significant => maps:get(significant, Plan, false)
    }.

%% What a plan leaves out is left to the defaults.
limits(Plan) ->
    Limits = maps:map(fun(_Key, Value) -> underscored(Value) end, maps:with([restart, shutdown], Plan)),
    Limits#{type => kind(Plan)}.

kind(#{type := worker}) -> worker;
kind(#{type := _}) -> supervisor;
kind(_) -> worker.

start_instance(Scribe, PoolPath, Template, Name, Starts) ->
    start_static(Scribe, path(PoolPath, Name), Template#{starts => Starts}).

start_static(Scribe, Path, Plan) ->
    Attempt = call(Scribe, {attempt, Path}),
    case begin_child(Scribe, Path, Attempt, Plan) of
        {ok, Pid} = Started ->
            ok = call(Scribe, {started, Path, Attempt, Pid, kind(Plan)}),
            Started;
        ignore ->
            ok = call(Scribe, {ignored, Path, Attempt}),
            ignore;
        {error, _} = Failed ->
            ok = call(Scribe, {failed, Path, Attempt}),
            Failed
    end.

begin_child(Scribe, Path, Attempt, Plan) ->
    case kind(Plan) of
        worker -> begin_worker(Scribe, Path, result_of(Attempt, maps:get(starts, Plan, [])), Plan);
        supervisor -> supervisor:start_link(?MODULE, {Scribe, Path, Plan})
    end.

begin_worker(_Scribe, _Path, ok, Plan) ->
    Stop = maps:get(stop, Plan, obey),
    proc_lib:start_link(?MODULE, worker, [self(), Stop, trap(Stop)]);
begin_worker(_Scribe, _Path, ignore, _Plan) ->
    ignore;
begin_worker(_Scribe, _Path, error, _Plan) ->
    {error, refused};
begin_worker(Scribe, Path, #{asks := Asks}, _Plan) ->
    lists:foreach(fun(Ask) -> queue(Scribe, parent(Path), self(), Ask) end, Asks),
    {error, refused}.

%% When this returns the request is in the supervisor's mailbox, and its answer will be written down.
queue(Scribe, Path, Supervisor, Ask) ->
    ok = call(Scribe, asking),
    Asking = spawn(fun() ->
        Answer = ask(Scribe, Path, Supervisor, Ask),
        ok = call(Scribe, {answered, Answer})
    end),
    await_queued(Asking).

await_queued(Asking) ->
    erlang:yield(),
    case process_info(Asking, status) of
        {status, waiting} -> ok;
        _ -> await_queued(Asking)
    end.

result_of(Attempt, Starts) when Attempt =< length(Starts) -> lists:nth(Attempt, Starts);
result_of(_Attempt, _Starts) -> ok.

trap(obey) -> false;
trap(_) -> true.

worker(Parent, Stop, Trap) ->
    process_flag(trap_exit, Trap),
    proc_lib:init_ack({ok, self()}),
    receive
        {exit, Reason} -> exit(Reason);
        {'EXIT', Parent, shutdown} -> stopping(Stop);
        {'EXIT', Parent, Reason} -> exit(Reason)
    end.

stopping(late) ->
    timer:sleep(?LATE_MS),
    exit(shutdown);
stopping(wrong) ->
    exit(wrong);
stopping(normal) ->
    exit(normal);
stopping(never) ->
    receive
        never -> ok
    end.

%% Runs in the supervisor that reports.
log(#{msg := {report, #{label := {supervisor, shutdown}, report := Report}}}, _Config) ->
    case {proplists:get_value(reason, Report), get(give_up)} of
        {reached_max_restart_intensity, {Scribe, Path}} -> call(Scribe, {gave_up, Path});
        _ -> ok
    end;
log(_Event, _Config) ->
    ok.

%% Paths.

path(".", Id) -> text(Id);
path(Path, Id) -> Path ++ "/" ++ text(Id).

parent(Path) ->
    case string:split(Path, "/", trailing) of
        [_] -> ".";
        [Parent, _] -> Parent
    end.

name_below(".", Path) -> Path;
name_below(Parent, Path) -> lists:nthtail(length(Parent) + 1, Path).

text(Atom) when is_atom(Atom) -> atom_to_list(Atom);
text(Text) -> Text.

underscored(Atom) when is_atom(Atom) ->
    list_to_atom([case Char of $- -> $_; _ -> Char end || Char <- atom_to_list(Atom)]);
underscored(Number) ->
    Number.
