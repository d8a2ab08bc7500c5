"""The only folder that imports rclpy."""
