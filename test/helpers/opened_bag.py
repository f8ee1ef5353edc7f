"""A bag that was never written, for tests of what is made of its messages."""

from panoptic_ros.bags import BagMessage, Entry, stamp_ns
from panoptic_ros.bags.storage import Topic


class OpenedBag:
    """Stand in for BagReader: messages (topic, type, log time, message) that are decoded."""

    def __init__(self, messages):
        self.problems = []
        self.kinds = {topic: kind for topic, kind, _, _ in messages}
        self._messages = {
            Entry(Topic(topic, kind), time, 0, number): message
            for number, (topic, kind, time, message) in enumerate(messages)
        }

    def topics_of(self, *kinds):
        return sorted(topic for topic, kind in self.kinds.items() if kind in kinds)

    def entries(self, topics):
        return [entry for entry in self._messages if entry.topic.name in topics]

    def messages(self, topics):
        return [self.read(entry) for entry in self.entries(topics)]

    def read(self, entry):
        return BagMessage(entry, entry.topic.kind, b"", self._messages[entry])

    def stamp(self, entry):
        return stamp_ns(self._messages[entry].header)
