/* What one step of common inertial units is worth, by full scale: for ssw_channel.
 *
 * LSM6DSOX: ST DS12814 rev. 3, table 2 (LA_So, G_So). ICM-20948: TDK DS-000189 rev. 1.3, tables 1 and
 * 2. MPU-6050: InvenSense PS-MPU-6000A rev. 3.4, sections 6.1 and 6.2; the ICM-20948's are the same.
 */
#ifndef SOLOSENSE_IMU_H
#define SOLOSENSE_IMU_H

/* g a step */
#define SSW_LSM6DSOX_2G 0.000061f
#define SSW_LSM6DSOX_4G 0.000122f
#define SSW_LSM6DSOX_8G 0.000244f
#define SSW_LSM6DSOX_16G 0.000488f
#define SSW_ICM20948_2G (1.0f / 16384.0f)
#define SSW_ICM20948_4G (1.0f / 8192.0f)
#define SSW_ICM20948_8G (1.0f / 4096.0f)
#define SSW_ICM20948_16G (1.0f / 2048.0f)
#define SSW_MPU6050_2G (1.0f / 16384.0f)
#define SSW_MPU6050_4G (1.0f / 8192.0f)
#define SSW_MPU6050_8G (1.0f / 4096.0f)
#define SSW_MPU6050_16G (1.0f / 2048.0f)

/* deg/s a step */
#define SSW_LSM6DSOX_125DPS 0.004375f
#define SSW_LSM6DSOX_250DPS 0.00875f
#define SSW_LSM6DSOX_500DPS 0.0175f
#define SSW_LSM6DSOX_1000DPS 0.035f
#define SSW_LSM6DSOX_2000DPS 0.07f
#define SSW_ICM20948_250DPS (1.0f / 131.0f)
#define SSW_ICM20948_500DPS (1.0f / 65.5f)
#define SSW_ICM20948_1000DPS (1.0f / 32.8f)
#define SSW_ICM20948_2000DPS (1.0f / 16.4f)
#define SSW_MPU6050_250DPS (1.0f / 131.0f)
#define SSW_MPU6050_500DPS (1.0f / 65.5f)
#define SSW_MPU6050_1000DPS (1.0f / 32.8f)
#define SSW_MPU6050_2000DPS (1.0f / 16.4f)

#endif
