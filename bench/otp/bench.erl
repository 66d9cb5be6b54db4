%% The measurements of ../measure.go on OTP's own supervisor, one after the other. Prints lines of a
%% measurement's name and its value.
-module(bench).
-behaviour(supervisor).
-export([main/1, init/1]).

init(FlagsAndSpecs) -> {ok, FlagsAndSpecs}.

main(Arguments) ->
    [Killed, Crashes, Children, Samples] = [list_to_integer(A) || A <- Arguments],
    logger:set_primary_config(level, none),
    process_flag(trap_exit, true),
    io:format("version ~s, ~s, ~b schedulers~n", [erlang:system_info(otp_release),
        erlang:system_info(emu_flavor), erlang:system_info(schedulers_online)]),
    killed(Killed),
    storm(Crashes),
    started(Children),
    instances(Children),
    crashed("crash.alone", 1, Samples),
    crashed("crash.among", Children, Samples),
    halt(0).

%% All children are killed at once; until the last of their successors is up.
killed(N) ->
    Sup = start(one_for_one, [spec(I, {self(), none}) || I <- lists:seq(1, N)]),
    Pids = [receive {up, I, Pid, _} -> Pid end || I <- lists:seq(1, N)],
    quiet(),
    Begun = now_ns(),
    [exit(Pid, kill) || Pid <- Pids],
    Last = lists:max([receive {up, I, _, At} -> At end || I <- lists:seq(1, N)]),
    say("killed", N * 1.0e9 / (Last - Begun)),
    stop(Sup).

%% One child ends as soon as it is up, N times in a row.
storm(N) ->
    Step = N div 10,
    Count = counters:new(1, []),
    quiet(),
    Sup = start(one_for_one, [#{id => a, start => {bench_child, start_link, [{Count, N, Step, self()}]}}]),
    [First, FirstStep, LastStep, Last] = [receive {mark, K, At} -> At end || K <- [0, Step, N - Step, N]],
    say("storm", N * 1.0e9 / (Last - First)),
    say("storm.first", Step * 1.0e9 / (FirstStep - First)),
    say("storm.last", Step * 1.0e9 / (Last - LastStep)),
    stop(Sup).

%% One caller starts N children, each when the one before is up.
started(N) ->
    Sup = start(one_for_one, []),
    quiet(),
    Before = memory(),
    Begun = now_ns(),
    [{ok, _} = supervisor:start_child(Sup, spec(I, none)) || I <- lists:seq(1, N)],
    say("started", (now_ns() - Begun) / 1.0e6),
    quiet(),
    say("memory", (memory() - Before) / N),
    stop(Sup).

%% The same, of a template.
instances(N) ->
    Sup = start(simple_one_for_one, [#{id => a, start => {bench_child, start_link, []}, shutdown => brutal_kill}]),
    quiet(),
    Begun = now_ns(),
    [{ok, _} = supervisor:start_child(Sup, [{I, none}]) || I <- lists:seq(1, N)],
    say("instances", (now_ns() - Begun) / 1.0e6),
    stop(Sup).

%% One child of N crashes; until its successor runs.
crashed(Name, N, Samples) ->
    Crash = atomics:new(1, []),
    Sup = start(one_for_one, [spec(I, {self(), Crash}) || I <- lists:seq(1, N)]),
    Pids = array:from_list([receive {up, I, Pid, _} -> Pid end || I <- lists:seq(1, N)]),
    quiet(),
    Took = lists:sort(crash(Pids, N, Crash, 0, Samples, [])),
    say(Name ++ ".p50", lists:nth(Samples div 2 + 1, Took) / 1.0e3),
    say(Name ++ ".p99", lists:nth(Samples * 99 div 100 + 1, Took) / 1.0e3),
    stop(Sup).

crash(_, _, _, Samples, Samples, Took) -> Took;
crash(Pids, N, Crash, K, Samples, Took) ->
    I = K * 7919 rem N, % anywhere in the list of children
    array:get(I, Pids) ! crash,
    receive
        {up, _, Next, At} ->
            crash(array:set(I, Next, Pids), N, Crash, K + 1, Samples, [At - atomics:get(Crash, 1) | Took])
    end.

start(Strategy, Specs) ->
    Flags = #{strategy => Strategy, intensity => 1000000000, period => 1},
    {ok, Sup} = supervisor:start_link(?MODULE, {Flags, Specs}),
    Sup.

spec(I, Bench) -> #{id => I, start => {bench_child, start_link, [{I, Bench}]}, shutdown => brutal_kill}.

stop(Sup) ->
    exit(Sup, shutdown),
    receive {'EXIT', Sup, _} -> ok end.

quiet() -> [garbage_collect(Pid) || Pid <- processes()].
memory() -> erlang:memory(total).
now_ns() -> erlang:monotonic_time(nanosecond).
say(Name, Value) -> io:format("~s ~.3f~n", [Name, float(Value)]).
