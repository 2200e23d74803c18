"""What the broker keeps of a board that has stopped."""

from sensor_adapters.publisher import Publisher
from sensor_adapters.recordings import open_recording
from sensor_adapters.replay import messages
from tests.live import BUNDLES, NODE, SITE, STATION, Heard, board, mosquitto


def test_a_board_that_stops_in_the_midst_of_work_leaves_no_action_behind(tmp_path):
    shift = open_recording("virtual:seed=7,boxes=1")
    base = f"act/v1/{SITE}/{NODE}"

    def keeps(topic: str, **fields: object) -> bool:
        """Does the broker tell a newcomer this?"""
        with Heard(port, f"{base}/{topic}") as one:
            return one.wait_newest(**fields)

    with mosquitto(tmp_path) as port, board(tmp_path, port, shift, [BUNDLES / "imu"]) as one:
        assert keeps(f"{STATION}/action", label=None), "nothing is known yet"
        with Publisher(f"127.0.0.1:{port}", SITE, NODE) as publisher:
            said = list(messages(shift, SITE, NODE, STATION, publisher.boot))
            publisher.publish(said[: len(said) // 2], speed=0)
            assert publisher.settle() is not None
        with Heard(port, f"{base}/{STATION}/action") as action:
            action.wait(lambda said: "since" in said[-1][1] if said else False, "since when")
        assert one.stop() == 0
        assert keeps(f"{STATION}/action", label=None)
        assert keeps("status", state="stopped")
